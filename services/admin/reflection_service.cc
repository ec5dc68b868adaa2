#include "services/admin/reflection_service.h"

#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "services/admin/guard.h"
#include "services/admin/reflection_index.h"
#include "services/admin/stream_set.h"

namespace graspd::admin {
namespace {

namespace alpha = grpc::reflection::v1alpha;
namespace v1r = grpc::reflection::v1;

/// The names of one version of the protocol.
struct V1 {
  using Request = v1r::ServerReflectionRequest;
  using Response = v1r::ServerReflectionResponse;
  using Service = v1r::ServerReflection::CallbackService;
  static constexpr char kMethod[] = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
};
struct V1Alpha {
  using Request = alpha::ServerReflectionRequest;
  using Response = alpha::ServerReflectionResponse;
  using Service = alpha::ServerReflection::CallbackService;
  static constexpr char kMethod[] = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
};

template <typename Response>
void FillError(const absl::Status& status, Response* response) {
  const absl::string_view message = status.message();
  response->mutable_error_response()->set_error_code(static_cast<int>(status.code()));
  response->mutable_error_response()->set_error_message(message.data(), message.size());
}

template <typename Response>
void FillFiles(const absl::StatusOr<ReflectionIndex::Files>& files, Response* response) {
  if (!files.ok()) return FillError(files.status(), response);
  for (const std::string& file : *files) {
    response->mutable_file_descriptor_response()->add_file_descriptor_proto(file);
  }
}

template <typename Request, typename Response>
void Answer(const ReflectionIndex& index, const Request& request, Response* response) {
  response->set_valid_host(request.host());
  *response->mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      return FillFiles(index.FileByName(request.file_by_filename()), response);
    case Request::kFileContainingSymbol:
      return FillFiles(index.FileWithSymbol(request.file_containing_symbol()), response);
    case Request::kFileContainingExtension: {
      const auto& extension = request.file_containing_extension();
      return FillFiles(
          index.FileWithExtension(extension.containing_type(), extension.extension_number()),
          response);
    }
    case Request::kAllExtensionNumbersOfType: {
      const std::string& type = request.all_extension_numbers_of_type();
      const auto numbers = index.ExtensionNumbers(type);
      if (!numbers.ok()) return FillError(numbers.status(), response);
      auto* answer = response->mutable_all_extension_numbers_response();
      answer->set_base_type_name(type);
      for (const int32_t number : *numbers) answer->add_extension_number(number);
      return;
    }
    case Request::kListServices:
      for (const std::string& name : index.services()) {
        response->mutable_list_services_response()->add_service()->set_name(name);
      }
      return;
    case Request::MESSAGE_REQUEST_NOT_SET:
      return FillError(absl::InvalidArgumentError("reflection: the request asks nothing"),
                       response);
  }
}

/// One reflection call: questions and answers in turn.
/// Threading: gRPC calls one reaction after the other; Stop() comes from elsewhere. Lifetime: owns
/// itself until OnDone().
template <typename Version>
class ReflectionStream final
    : public grpc::ServerBidiReactor<typename Version::Request, typename Version::Response>,
      public OpenStream {
 public:
  ReflectionStream(const ReflectionIndex& index, Guard& guard, StreamSet& streams)
      : index_(index),
        guard_(guard),
        streams_(streams),
        started_(guard.StreamStarted(Version::kMethod)) {}

  static ReflectionStream* Start(std::shared_ptr<ReflectionStream> stream) {
    stream->self_ = stream;
    if (stream->streams_.Add(stream)) {
      stream->StartRead(&stream->request_);
    } else {
      stream->End({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many open streams"});
    }
    return stream.get();
  }

  void Poke() override {}
  void Stop() override { End({grpc::StatusCode::UNAVAILABLE, "the server is shutting down"}); }
  void OnCancel() override { End(grpc::Status::CANCELLED); }

  void OnReadDone(bool ok) override {
    if (!ok) return End(grpc::Status::OK);  // the client has no more questions
    response_.Clear();
    Answer(index_, request_, &response_);
    {
      base::MutexLock lock(mutex_);
      if (finished_) return;
      writing_ = true;
    }
    this->StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    {
      base::MutexLock lock(mutex_);
      writing_ = false;
    }
    if (!ok) return End(grpc::Status::CANCELLED);
    if (!FinishIfDue()) this->StartRead(&request_);
  }
  void OnDone() override {
    guard_.StreamEnded(Version::kMethod, code_, started_);
    streams_.Remove(self_);
    self_.reset();
  }

 private:
  void End(grpc::Status status) {
    {
      base::MutexLock lock(mutex_);
      if (!end_) end_ = std::move(status);
    }
    FinishIfDue();
  }
  // False if the stream goes on. A read may be under way at Finish(): it ends without success.
  bool FinishIfDue() {
    grpc::Status status;
    {
      base::MutexLock lock(mutex_);
      if (finished_) return true;
      if (writing_ || !end_) return false;
      finished_ = true;
      status = *end_;
    }
    code_ = status.error_code();
    this->Finish(std::move(status));
    return true;
  }

  const ReflectionIndex& index_;
  Guard& guard_;
  StreamSet& streams_;
  const base::SteadyTime started_;
  std::shared_ptr<ReflectionStream> self_;
  int code_ = 0;  // written once, before Finish()
  typename Version::Request request_;
  typename Version::Response response_;

  base::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;            // Finish() is or will be called
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);  // how to finish once not writing
};

template <typename Version>
class ReflectionService final : public Version::Service {
 public:
  ReflectionService(const ReflectionIndex& index, Guard& guard, StreamSet& streams)
      : index_(index), guard_(guard), streams_(streams) {}

  grpc::ServerBidiReactor<typename Version::Request, typename Version::Response>*
  ServerReflectionInfo(grpc::CallbackServerContext* /*context*/) override {
    return ReflectionStream<Version>::Start(
        std::make_shared<ReflectionStream<Version>>(index_, guard_, streams_));
  }

 private:
  const ReflectionIndex& index_;
  Guard& guard_;
  StreamSet& streams_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeReflectionV1(const ReflectionIndex& index, Guard& guard,
                                                StreamSet& streams) {
  return std::make_unique<ReflectionService<V1>>(index, guard, streams);
}

std::unique_ptr<grpc::Service> MakeReflectionV1Alpha(const ReflectionIndex& index, Guard& guard,
                                                     StreamSet& streams) {
  return std::make_unique<ReflectionService<V1Alpha>>(index, guard, streams);
}

}  // namespace graspd::admin
