#include "services/admin/errors.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "graspd/admin/v1/types.pb.h"
#include "services/admin/rpc_status.h"

namespace graspd::admin {
namespace {

google::rpc::Status Decode(const RpcStatus& status) {
  google::rpc::Status decoded;
  EXPECT_TRUE(decoded.ParseFromString(status.details));
  return decoded;
}

// The first detail of type T.
template <typename T>
T Detail(const RpcStatus& status) {
  T detail;
  const google::rpc::Status decoded = Decode(status);
  for (const auto& any : decoded.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  ADD_FAILURE() << "no " << T::descriptor()->full_name();
  return detail;
}

TEST(ErrorsTest, EveryReasonIsInTheApiUnderTheSameNameAndNumber) {
  const auto& values = *v1::ErrorReason_descriptor();
  for (int i = 1; i < values.value_count(); ++i) {
    const auto reason = static_cast<Reason>(values.value(i)->number());
    EXPECT_EQ(values.value(i)->name(), "ERROR_REASON_" + std::string(ReasonName(reason)));
  }
  EXPECT_EQ(static_cast<int>(Reason::kComponentUnknown), values.value_count() - 1);
}

TEST(ErrorsTest, ErrorCarriesItsReasonFieldAndMetadata) {
  const absl::Status error = FieldError("page_size", "must not be negative");
  const auto detail = GetErrorDetail(error);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, Reason::kArgumentInvalid);
  EXPECT_EQ(detail->field, "page_size");

  const auto not_found = GetErrorDetail(RemoteNotFound("wss://a.example"));
  ASSERT_TRUE(not_found.has_value());
  EXPECT_EQ(not_found->metadata.at("remote"), "wss://a.example");
  EXPECT_FALSE(GetErrorDetail(absl::InternalError("x")).has_value());
}

TEST(RpcStatusTest, ErrorInfoSaysReasonDomainAndValuesConcerned) {
  const RpcStatus status = ToRpcStatus(RemoteNotFound("wss://a.example"));
  EXPECT_EQ(status.code, 5);
  EXPECT_EQ(Decode(status).code(), 5);
  const auto info = Detail<google::rpc::ErrorInfo>(status);
  EXPECT_EQ(info.reason(), "REMOTE_NOT_FOUND");
  EXPECT_EQ(info.domain(), "admin.graspd");
  EXPECT_EQ(info.metadata().at("remote"), "wss://a.example");
}

TEST(RpcStatusTest, FieldErrorNamesTheField) {
  const RpcStatus status = ToRpcStatus(FieldError("states", "has no value number 99"));
  const auto bad = Detail<google::rpc::BadRequest>(status);
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "states");
  EXPECT_NE(status.message.find("states"), std::string::npos);
}

TEST(RpcStatusTest, ErrorsThatPassBySayWhenToRetry) {
  EXPECT_GT(Detail<google::rpc::RetryInfo>(ToRpcStatus(EngineBusy())).retry_delay().seconds(), 0);
}

TEST(RpcStatusTest, ErrorFromElsewhereKeepsItsCodeAndGetsTheNearestReason) {
  const RpcStatus status = ToRpcStatus(absl::DeadlineExceededError("slow"));
  EXPECT_EQ(status.code, 4);
  EXPECT_EQ(Detail<google::rpc::ErrorInfo>(status).reason(), "DEADLINE_EXCEEDED");
  EXPECT_EQ(Detail<google::rpc::ErrorInfo>(ToRpcStatus(absl::DataLossError("x"))).reason(),
            "INTERNAL");
}

TEST(RpcStatusTest, LongAndBrokenTextsStillFitIntoTrailers) {
  const RpcStatus status = ToRpcStatus(RemoteNotFound("wss://" + std::string(100'000, '\xff')));
  EXPECT_LT(status.message.size() + status.details.size(), 4'000u);
  EXPECT_EQ(status.message.find('\xff'), std::string::npos);
}

}  // namespace
}  // namespace graspd::admin
