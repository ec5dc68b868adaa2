#include "services/graspd/command_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "nostr/keys.h"
#include "nostr/nip19.h"

namespace graspd::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Invocation Parse(const std::vector<std::string>& arguments) {
  auto invocation = ParseInvocation(arguments, {});
  EXPECT_TRUE(invocation.ok()) << invocation.status();
  return invocation.ok() ? *std::move(invocation) : Invocation();
}

std::string Problems(const std::vector<std::string>& arguments) {
  const auto invocation = ParseInvocation(arguments, {});
  EXPECT_EQ(invocation.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(invocation.status().message());
}

TEST(CommandOptionsTest, ExportTakesAFileAndConditions) {
  const auto key = nostr::SecretKey::FromSeed("author").public_key();
  const auto other = nostr::SecretKey::FromSeed("other").public_key();
  const Invocation export_all = Parse({"export", "--store=lmdb:/x"});
  EXPECT_EQ(export_all.command, Command::kExport);
  EXPECT_EQ(export_all.export_request.output, "-");
  EXPECT_EQ(export_all.export_request.filter, nostr::Filter());
  EXPECT_EQ(export_all.settings.store, "lmdb:/x");

  const Invocation some =
      Parse({"--output", "out.jsonl.gz", "--kinds=5,1", "export", "--since", "10", "--until=20",
             "--authors=" + nostr::EncodeNpub(key) + "," + other.ToHex()});
  EXPECT_EQ(some.export_request.output, "out.jsonl.gz");
  const nostr::Filter& filter = some.export_request.filter;
  EXPECT_THAT(*filter.kinds, ElementsAre(1, 5));
  EXPECT_THAT(*filter.authors, ElementsAre(std::min(key, other), std::max(key, other)));
  EXPECT_EQ(filter.since, 10u);
  EXPECT_EQ(filter.until, 20u);

  const Invocation by_filter = Parse({"export", "--filter", R"({"#t":["a"],"kinds":[1]})"});
  EXPECT_THAT(by_filter.export_request.filter.tags.at('t'), ElementsAre("a"));
}

TEST(CommandOptionsTest, ImportTakesFilesAndARelay) {
  const Invocation from_stdin = Parse({"import"});
  EXPECT_EQ(from_stdin.command, Command::kImport);
  EXPECT_THAT(from_stdin.import_request.files, ElementsAre("-"));
  EXPECT_FALSE(from_stdin.import_request.strict);
  EXPECT_FALSE(from_stdin.import_request.url);

  const Invocation some =
      Parse({"import", "a.jsonl", "--strict", "-", "--url", "ws://127.0.0.1:7334", "export"});
  EXPECT_THAT(some.import_request.files, ElementsAre("a.jsonl", "-", "export"));
  EXPECT_TRUE(some.import_request.strict);
  EXPECT_EQ(some.import_request.url->ToString(), "ws://127.0.0.1:7334");
}

TEST(CommandOptionsTest, MistakesAreNamed) {
  EXPECT_THAT(Problems({"export", "--kinds=1,x"}), HasSubstr("--kinds \"1,x\""));
  EXPECT_THAT(Problems({"export", "--kinds=65536"}), HasSubstr("--kinds"));
  EXPECT_THAT(Problems({"export", "--authors=abc"}), HasSubstr("--authors"));
  // They would select nothing, and an export of nothing would replace the last good one.
  for (const char* nothing : {"--kinds=", "--authors= , ", "--filter={\"ids\":[]}"}) {
    EXPECT_THAT(Problems({"export", nothing}), HasSubstr("an empty list"));
  }
  EXPECT_THAT(Problems({"export", "--kinds=x"}), testing::Not(HasSubstr("an empty list")));
  EXPECT_THAT(Problems({"export", "--since=-1"}), HasSubstr("--since"));
  EXPECT_THAT(Problems({"export", "--filter", "{\"kind\":1}"}), HasSubstr("--filter"));
  EXPECT_THAT(Problems({"export", "--filter", "{\"limit\":1}"}), HasSubstr("limit"));
  EXPECT_THAT(Problems({"export", "--filter={}", "--kinds=1"}), HasSubstr("not together"));
  EXPECT_THAT(Problems({"export", "--output"}), HasSubstr("--output needs a value: FILE"));
  EXPECT_THAT(Problems({"export", "file"}), HasSubstr("unknown command \"export file\""));
  EXPECT_THAT(Problems({"import", "--strict=yes"}), HasSubstr("--strict takes no value"));
  EXPECT_THAT(Problems({"import", "--url=http://a"}), HasSubstr("--url"));
  EXPECT_THAT(Problems({"import", "--outptu=x"}), HasSubstr("did you mean --output"));
  EXPECT_THAT(Problems({"import", "--kinds=1"}),
              HasSubstr("--kinds belongs to the command export"));
  EXPECT_THAT(Problems({"--strict"}), HasSubstr("--strict belongs to the command import"));
}

TEST(CommandOptionsTest, NamesAreUniqueAndNoSettingHasOne) {
  std::set<std::string> names;
  for (const auto& option : CommandOptions()) EXPECT_TRUE(names.emplace(option.name).second);
  for (const auto& setting : SettingTable()) EXPECT_FALSE(names.contains(setting.Flag()));
}

TEST(CommandOptionsTest, TheHelpNamesEveryOption) {
  for (const auto& option : CommandOptions()) {
    EXPECT_THAT(HelpText(), HasSubstr(std::string(option.name)));
  }
}

}  // namespace
}  // namespace graspd::daemon
