#include "services/admin/reflection_index.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include "graspd/admin/v1/types.pb.h"
#include "proto/descriptor_set.h"

namespace graspd::admin {
namespace {

using google::protobuf::FileDescriptorProto;
using testing::Contains;
using testing::ElementsAre;

FileDescriptorProto Parse(const std::string& bytes) {
  FileDescriptorProto file;
  EXPECT_TRUE(file.ParseFromString(bytes));
  return file;
}

std::vector<std::string> Names(const ReflectionIndex::Files& files) {
  std::vector<std::string> names;
  for (const std::string& file : files) names.push_back(Parse(file).name());
  return names;
}

class ReflectionIndexTest : public testing::Test {
 protected:
  ReflectionIndex index_{proto::AdminDescriptorSet()};
};

TEST_F(ReflectionIndexTest, ListsOurServicesHealthAndReflectionOnly) {
  EXPECT_THAT(index_.services(),
              ElementsAre("graspd.admin.v1.DiscoveryService", "graspd.admin.v1.OpsService",
                          "graspd.admin.v1.RemoteService", "graspd.admin.v1.SyncService",
                          "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                          "grpc.reflection.v1alpha.ServerReflection"));
}

TEST_F(ReflectionIndexTest, FindsTheFileOfServicesMethodsMessagesFieldsAndEnumValues) {
  for (const char* symbol : {"graspd.admin.v1.RemoteService",
                             "graspd.admin.v1.RemoteService.ListRemotes", "graspd.admin.v1.Remote",
                             "graspd.admin.v1.Remote.url", "graspd.admin.v1.REMOTE_STATE_LIVE"}) {
    const auto files = index_.FileWithSymbol(symbol);
    ASSERT_TRUE(files.ok()) << symbol;
    EXPECT_EQ(Names(*files).front(), "graspd/admin/v1/remote_service.proto") << symbol;
  }
}

TEST_F(ReflectionIndexTest, FileComesWithAllItImportsAndWithComments) {
  const auto files = index_.FileWithSymbol("graspd.admin.v1.RemoteService");
  ASSERT_TRUE(files.ok());
  const auto names = Names(*files);
  EXPECT_THAT(names, Contains("graspd/admin/v1/types.proto"));
  EXPECT_THAT(names, Contains("google/protobuf/timestamp.proto"));
  EXPECT_THAT(names, Contains("google/protobuf/descriptor.proto"));
  std::string comments;
  const FileDescriptorProto file = Parse(files->front());
  for (const auto& location : file.source_code_info().location()) {
    comments += location.leading_comments();
  }
  EXPECT_NE(comments.find("Lists remotes, ordered by URL."), std::string::npos);
}

TEST_F(ReflectionIndexTest, KnowsTheMessagesOfErrorDetails) {
  EXPECT_TRUE(index_.FileWithSymbol("google.rpc.ErrorInfo").ok());
  EXPECT_TRUE(index_.FileWithSymbol("google.rpc.Status").ok());
  EXPECT_TRUE(index_.FileByName("google/rpc/error_details.proto").ok());
}

TEST_F(ReflectionIndexTest, FindsTheRoleOption) {
  const int number = v1::kRequiredRoleFieldNumber;
  EXPECT_THAT(*index_.ExtensionNumbers("google.protobuf.MethodOptions"), ElementsAre(number));
  const auto files = index_.FileWithExtension("google.protobuf.MethodOptions", number);
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(Names(*files).front(), "graspd/admin/v1/types.proto");
}

TEST_F(ReflectionIndexTest, WhatIsUnknownIsNotFound) {
  const auto not_found = absl::StatusCode::kNotFound;
  EXPECT_EQ(index_.FileByName("nope.proto").status().code(), not_found);
  EXPECT_EQ(index_.FileWithSymbol("graspd.admin.v1.RemoteService.Nope").status().code(), not_found);
  EXPECT_EQ(index_.FileWithExtension("google.protobuf.MethodOptions", 1).status().code(),
            not_found);
  EXPECT_EQ(index_.ExtensionNumbers("nope.Nope").status().code(), not_found);
}

// Comments are the manual: every service, method, message, field, enum and value has one.
TEST_F(ReflectionIndexTest, EverythingOfOursIsDocumented) {
  google::protobuf::FileDescriptorSet set;
  ASSERT_TRUE(set.ParseFromString(std::string(proto::AdminDescriptorSet())));
  int checked = 0;
  for (const FileDescriptorProto& file : set.file()) {
    if (file.package() != "graspd.admin.v1") continue;
    for (const auto& location : file.source_code_info().location()) {
      // A path of field numbers and indices of FileDescriptorProto: 4 messages (2 their fields),
      // 5 enums (2 their values), 6 services (2 their methods), 7 extensions.
      const auto& path = location.path();
      const bool top = path.size() == 2 && path[0] >= 4 && path[0] <= 7;
      const bool inner = path.size() == 4 && path[0] >= 4 && path[0] <= 6 && path[2] == 2;
      if (!top && !inner) continue;
      ++checked;
      EXPECT_FALSE(location.leading_comments().empty())
          << file.name() << " line " << location.span(0) + 1;
    }
  }
  EXPECT_GT(checked, 150);
}

TEST_F(ReflectionIndexTest, EveryMethodOfOursSaysWhichRoleItTakes) {
  google::protobuf::FileDescriptorSet set;
  ASSERT_TRUE(set.ParseFromString(std::string(proto::AdminDescriptorSet())));
  int methods = 0;
  for (const FileDescriptorProto& file : set.file()) {
    if (file.package() != "graspd.admin.v1") continue;
    for (const auto& service : file.service()) {
      for (const auto& method : service.method()) {
        ++methods;
        EXPECT_NE(method.options().GetExtension(v1::required_role), v1::ROLE_UNSPECIFIED)
            << service.name() << "." << method.name();
      }
    }
  }
  EXPECT_GE(methods, 9);
}

}  // namespace
}  // namespace graspd::admin
