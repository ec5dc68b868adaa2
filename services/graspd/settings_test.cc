#include "services/graspd/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "services/graspd/settings_sources.h"
#include "services/graspd/settings_table.h"

namespace graspd::daemon {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

using Strings = std::vector<std::string>;

/// A file of its own in the test's temporary directory, removed at the end.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text) {
    std::string path = ::testing::TempDir() + "settings_XXXXXX";
    const int fd = mkstemp(path.data());
    EXPECT_GE(fd, 0);
    path_ = path;
    std::ofstream(path_) << text;
    close(fd);
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Settings Parsed(const Strings& arguments, const Strings& environment = {}) {
  auto invocation = ParseInvocation(arguments, environment);
  EXPECT_TRUE(invocation.ok()) << invocation.status();
  return invocation.ok() ? invocation->settings : Settings();
}

std::string Refusal(const Strings& arguments, const Strings& environment = {}) {
  const auto invocation = ParseInvocation(arguments, environment);
  return invocation.ok() ? "not refused" : std::string(invocation.status().message());
}

std::string RefusalOfFile(const std::string& text) {
  const TemporaryFile file(text);
  return Refusal({"--config", file.path()});
}

Strings ToStrings(const auto& values) {
  Strings out;
  for (const auto& value : values) out.push_back(value.ToString());
  return out;
}

TEST(SettingsTest, DefaultsAreCompleteWithoutAnyInput) {
  const Settings settings = Parsed({});
  EXPECT_EQ(settings.store, "lmdb:./data");
  EXPECT_THAT(ToStrings(settings.relay_listen), ElementsAre("127.0.0.1:7334"));
  EXPECT_THAT(ToStrings(settings.relay_urls), ElementsAre("ws://127.0.0.1:7334"));
  EXPECT_THAT(ToStrings(settings.admin_listen), ElementsAre("127.0.0.1:7335"));
  EXPECT_THAT(ToStrings(settings.ops_listen), ElementsAre("127.0.0.1:7336"));
  EXPECT_EQ(settings.policy_mode, ingest::PolicyMode::kGrasp);
  EXPECT_TRUE(settings.sync_enabled);
  EXPECT_EQ(settings.limits.message_bytes, nostr::Limits().message_bytes);
}

TEST(SettingsTest, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const TemporaryFile file(
      "[relay]\nname = \"file\"\ndescription = \"file\"\ncontact = \"file\"\n");
  const auto invocation =
      ParseInvocation({"--config", file.path(), "--relay-name", "flag"},
                      {"GRASPD_RELAY_NAME=env", "GRASPD_RELAY_DESCRIPTION=env"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->settings.relay_name, "flag");
  EXPECT_EQ(invocation->settings.relay_description, "env");
  EXPECT_EQ(invocation->settings.relay_contact, "file");

  std::map<std::string_view, std::string> origins;
  for (const EffectiveSetting& setting : invocation->effective) {
    origins[setting.name] = std::string(SettingSourceName(setting.source)) + " " + setting.origin;
  }
  EXPECT_EQ(origins["relay.name"], "flag --relay-name");
  EXPECT_EQ(origins["relay.description"], "env GRASPD_RELAY_DESCRIPTION");
  EXPECT_EQ(origins["relay.contact"], "file " + file.path() + ":4");
  EXPECT_EQ(origins["relay.pubkey"], "default ");
}

TEST(SettingsTest, EveryTypeOfValueIsReadFromTheFile) {
  const TemporaryFile file(R"(
    store = "memory:"
    policy.mode = "archive"
    [sync]
    enabled = false
    allow_cidrs = ["10.0.0.0/8", "fc00::/7"]
    deny_cidrs = ["10.1.0.0/16"]
    allow_ports = [81, "22"]
    startup_delay = "250ms"
    [limits]
    message_bytes = "1MiB"
    event_bytes = 65536
    event_tags = 10
    events_per_second = 0.5
    created_at_ahead = "1m"
    [log]
    format = "json"
  )");
  const Settings settings = Parsed({"--config=" + file.path()});
  EXPECT_EQ(settings.store, "memory:");
  EXPECT_EQ(settings.policy_mode, ingest::PolicyMode::kArchive);
  EXPECT_FALSE(settings.sync_enabled);
  EXPECT_THAT(ToStrings(settings.sync_allow_cidrs), ElementsAre("10.0.0.0/8", "fc00::/7"));
  EXPECT_THAT(ToStrings(settings.sync_deny_cidrs), ElementsAre("10.1.0.0/16"));
  EXPECT_THAT(settings.sync_allow_ports, ElementsAre(81, 22));
  EXPECT_EQ(settings.sync_startup_delay, std::chrono::milliseconds(250));
  EXPECT_EQ(settings.limits.message_bytes, 1u << 20);
  EXPECT_EQ(settings.limits.event_bytes, 65536u);
  EXPECT_EQ(settings.limits.event_tags, 10u);
  EXPECT_EQ(settings.limits.events_per_second, 0.5);
  EXPECT_EQ(settings.limits.created_at_ahead_seconds, 60u);
  EXPECT_EQ(settings.log_format, base::LogFormat::kJson);
}

TEST(SettingsTest, ListsInFlagsAndVariablesAreSeparatedByCommasAndRepeatedFlagsAddUp) {
  const Settings settings = Parsed(
      {"--sync-bootstrap", "wss://a.example,wss://b.example", "--sync-bootstrap=wss://c.example"},
      {"GRASPD_SYNC_ALLOW_CIDRS=10.0.0.0/8, 127.0.0.1"});
  EXPECT_THAT(ToStrings(settings.sync_bootstrap),
              ElementsAre("wss://a.example", "wss://b.example", "wss://c.example"));
  EXPECT_THAT(settings.sync_allow_cidrs, SizeIs(2));
}

TEST(SettingsTest, AnEmptyListTurnsAListenerOff) {
  EXPECT_THAT(Parsed({"--admin-listen", ""}, {"GRASPD_OPS_LISTEN="}).admin_listen, IsEmpty());
  EXPECT_THAT(Parsed({}, {"GRASPD_OPS_LISTEN="}).ops_listen, IsEmpty());
  EXPECT_THAT(Refusal({"--relay-listen="}), HasSubstr("not empty"));
}

TEST(SettingsTest, TheLastOfRepeatedScalarFlagsCounts) {
  EXPECT_EQ(Parsed({"--relay-name", "a", "--relay-name", "b"}).relay_name, "b");
}

TEST(SettingsTest, UnknownNamesAreRefusedWithTheNearestOne) {
  EXPECT_EQ(Refusal({"--sync-allow-cidr", "10.0.0.0/8"}),
            "unknown flag --sync-allow-cidr; did you mean --sync-allow-cidrs?");
  EXPECT_EQ(Refusal({}, {"GRASPD_RELAY_URL=wss://a.example"}),
            "unknown environment variable GRASPD_RELAY_URL; did you mean GRASPD_RELAY_URLS?");
  EXPECT_THAT(
      RefusalOfFile("[relay]\n\nurl = []\n"),
      AllOf(StartsWith("unknown key relay.url ("), EndsWith(":3); did you mean relay.urls?")));
  EXPECT_THAT(RefusalOfFile("[relais]\nname = \"x\"\n"), StartsWith("unknown key relais ("));
  EXPECT_EQ(Refusal({"server"}), "unknown command \"server\"; did you mean serve?");
  EXPECT_THAT(Refusal({"config"}), HasSubstr("check, dump or docs"));
}

TEST(SettingsTest, ABadValueIsRefusedWithItsOriginAndWhatIsAllowed) {
  EXPECT_EQ(Refusal({"--policy-mode", "closed"}),
            "policy.mode = \"closed\" (--policy-mode): must be one of grasp, archive, open");
  EXPECT_THAT(Refusal({}, {"GRASPD_SYNC_STARTUP_DELAY=5"}),
              StartsWith("sync.startup_delay = \"5\" (GRASPD_SYNC_STARTUP_DELAY): must be a "
                         "duration from 0s to 1h"));
  EXPECT_THAT(Refusal({"--sync-bootstrap", "wss://a.example,http://b.example"}),
              AllOf(HasSubstr("must be a list of relay URLs"), HasSubstr("(\"http://b.example\"")));
  EXPECT_THAT(RefusalOfFile("[log]\nlevel = \"loud\"\n"), HasSubstr(":2): must be one of debug"));
  EXPECT_THAT(Refusal({"--limits-event-tags", "0"}), HasSubstr("a whole number from 1"));
  EXPECT_THAT(Refusal({"--relay-pubkey", "npub1xyz"}), HasSubstr("64 lower-case hex digits"));
  EXPECT_THAT(Refusal({"--limits-subscription-id-chars", "65"}), HasSubstr("from 1 to 64"));
  EXPECT_THAT(Refusal({"--limits-ping-interval", "1500ms"}), HasSubstr("a duration from 1s"));
}

TEST(SettingsTest, OnlyStoresThatExistAreAllowed) {
  for (const char* store : {"./data", "foo:", "foo:bar", "lmdb", "lmdb:", "memory:foo", ""}) {
    EXPECT_EQ(Refusal({"--store", store}), "store = \"" + std::string(store) +
                                               "\" (--store): must be memory: or lmdb:DIRECTORY");
  }
  EXPECT_EQ(Parsed({"--store", "memory:"}).store, "memory:");
  EXPECT_EQ(Parsed({"--store", "lmdb:/var/lib/graspd"}).store, "lmdb:/var/lib/graspd");
}

TEST(SettingsTest, TheAdminApiListensOnThisMachineOnly) {
  for (const char* address : {"0.0.0.0:7335", "[::]:7335", "10.0.0.1:7335"}) {
    EXPECT_THAT(Refusal({"--admin-listen", std::string("127.0.0.1:7335,") + address}),
                AllOf(StartsWith("admin.listen = "), HasSubstr("(--admin-listen): must be a list"),
                      HasSubstr("loopback"), HasSubstr(std::string("(\"") + address + "\""),
                      HasSubstr("no authentication")));
  }
  EXPECT_THAT(Refusal({"--admin-listen", "localhost:7335"}), HasSubstr("loopback"));
  EXPECT_THAT(ToStrings(Parsed({"--admin-listen", "127.0.0.1:1,[::1]:2,unix:/x"}).admin_listen),
              ElementsAre("127.0.0.1:1", "[::1]:2", "unix:/x"));
}

TEST(SettingsTest, ValuesInTheFileMustHaveTheRightTomlType) {
  EXPECT_THAT(RefusalOfFile("[sync]\nenabled = \"true\"\n"), HasSubstr("must be true or false"));
  EXPECT_THAT(RefusalOfFile("[relay]\nname = 5\n"), HasSubstr("must be text"));
  EXPECT_THAT(RefusalOfFile("[relay]\nurls = \"wss://a.example\"\n"), HasSubstr("must be a list"));
  EXPECT_THAT(RefusalOfFile("[relay]\nurls = [1]\n"), HasSubstr("must be a list"));
  EXPECT_THAT(RefusalOfFile("[relay]\nname = {a = 1}\n"), HasSubstr("must be text"));
  EXPECT_THAT(RefusalOfFile("[limits]\nneg_idle = 30\n"), HasSubstr("must be a duration"));
}

TEST(SettingsTest, EntriesOfThePolicysListsAreReadAndABadOneIsNamed) {
  const std::string hex(64, 'a');
  const std::string npub = "npub142424242424242424242424242424242424242424242424242424qeg3rrl";
  const Settings settings =
      Parsed({"--policy-mode", "archive", "--policy-author-blacklist", hex,
              "--policy-repository-blacklist", "spam, " + hex + "/repo",
              "--policy-repository-whitelist", "mine", "--policy-archive-repositories", hex,
              "--policy-archive-hosts", "Git.Example,[::1]:8080"});
  EXPECT_THAT(settings.policy_author_blacklist, ElementsAre(hex));
  EXPECT_THAT(settings.policy_repository_blacklist, ElementsAre("spam", hex + "/repo"));
  EXPECT_THAT(settings.policy_repository_whitelist, ElementsAre("mine"));
  EXPECT_THAT(settings.policy_archive_repositories, ElementsAre(hex));
  EXPECT_THAT(settings.policy_archive_hosts, ElementsAre("git.example", "[::1]:8080"));
  EXPECT_THAT(
      Refusal({"--policy-author-blacklist", hex + ",alice"}),
      AllOf(StartsWith("policy.author_blacklist = "), HasSubstr("(\"alice\": not an npub")));
  EXPECT_THAT(Refusal({"--policy-repository-blacklist", npub}),
              HasSubstr("(\"" + npub + "\": "));  // its checksum is wrong
  EXPECT_THAT(Refusal({"--policy-mode", "archive", "--policy-archive-hosts", "https://x.example"}),
              HasSubstr("without scheme"));
  EXPECT_EQ(Refusal({"--policy-archive-hosts", "git.example"}),
            "policy.archive_hosts = [\"git.example\"]: must be empty with policy.mode = "
            "\"grasp\": only the archive mode uses it");
}

TEST(SettingsTest, AllMistakesAreReportedAtOnce) {
  const std::string refusal =
      Refusal({"--nonsense=1", "--log-level", "loud"}, {"GRASPD_NONSENSE=1"});
  EXPECT_EQ(std::count(refusal.begin(), refusal.end(), '\n'), 2) << refusal;
}

TEST(SettingsTest, AMissingOrBrokenFileIsRefused) {
  EXPECT_THAT(Refusal({"--config", "/nonexistent/graspd.toml"}),
              HasSubstr("cannot read the configuration file /nonexistent/graspd.toml"));
  EXPECT_THAT(Refusal({"--config", ::testing::TempDir()}), HasSubstr("cannot read"));
  EXPECT_THAT(RefusalOfFile("store = \"a\"\nstore ="), HasSubstr("line 2"));
  EXPECT_THAT(RefusalOfFile(std::string(2u << 20, '\n')), HasSubstr("larger than 1 MiB"));
}

TEST(SettingsTest, AFlagWithoutItsValueIsRefused) {
  EXPECT_EQ(Refusal({"--sync-allow-plaintext"}),
            "--sync-allow-plaintext needs a value: true or false");
  EXPECT_EQ(Refusal({"--relay-name", "--log-level=info"}), "--relay-name needs a value: text");
  EXPECT_EQ(Refusal({"--config"}), "--config needs a value: a file");
}

TEST(SettingsTest, VariablesThatKubernetesInjectsForAServiceAreIgnored) {
  EXPECT_EQ(
      Refusal({}, {"GRASPD_SERVICE_HOST=10.0.0.1", "GRASPD_SERVICE_PORT=7334",
                   "GRASPD_SERVICE_PORT_RELAY=7334", "GRASPD_PORT=tcp://10.0.0.1:7334",
                   "GRASPD_PORT_7334_TCP=tcp://10.0.0.1:7334", "GRASPD_PORT_7334_TCP_ADDR=10.0.0.1",
                   "GRASPD_OPS_SERVICE_HOST=10.0.0.2", "PATH=/bin"}),
      "not refused");
  EXPECT_THAT(Refusal({}, {"GRASPD_SERVICE=1"}), HasSubstr("unknown environment variable"));
}

TEST(SettingsTest, NoSettingHasAVariableThatKubernetesMightInject) {
  for (const SettingSpec& spec : SettingTable()) {
    EXPECT_THAT(ReadEnvironment({spec.Variable() + "=x"}).values, SizeIs(1)) << spec.name;
    EXPECT_THAT(ReadEnvironment({spec.Variable() + "X=x"}).problems, SizeIs(1)) << spec.name;
  }
}

TEST(SettingsTest, RelayUrlsAreNeededWhereTheyDoNotFollowFromTheListeningAddress) {
  EXPECT_THAT(Refusal({"--relay-listen", "0.0.0.0:7334"}),
              AllOf(StartsWith("relay.urls: must be set"), HasSubstr("0.0.0.0:7334")));
  EXPECT_THAT(Refusal({"--relay-listen", "[::]:7334"}), StartsWith("relay.urls: must be set"));
  EXPECT_THAT(Refusal({"--relay-listen", "unix:/run/x.sock"}),
              StartsWith("relay.urls: must be set"));
  EXPECT_THAT(Refusal({"--relay-listen", "127.0.0.1:0,unix:/run/x.sock"}),
              StartsWith("relay.urls: must be set"))
      << "whatever stands before it";
  EXPECT_THAT(
      ToStrings(
          Parsed({"--relay-listen", "0.0.0.0:7334", "--relay-urls", "wss://r.example"}).relay_urls),
      ElementsAre("wss://r.example"));
  EXPECT_THAT(ToStrings(Parsed({"--relay-listen", "127.0.0.1:80,[::1]:7334"}).relay_urls),
              ElementsAre("ws://127.0.0.1", "ws://[::1]:7334"));
}

TEST(SettingsTest, RelayUrlsStayEmptyWhileAPortIsUnknown) {
  EXPECT_THAT(Parsed({"--relay-listen", "127.0.0.1:0"}).relay_urls, IsEmpty());
  EXPECT_THAT(Parsed({"--relay-listen", "127.0.0.1:7334,127.0.0.1:0"}).relay_urls, IsEmpty());
}

TEST(SettingsTest, SyncIsOffByDefaultInOpenModeOnly) {
  EXPECT_TRUE(Parsed({"--policy-mode", "archive"}).sync_enabled);
  EXPECT_FALSE(Parsed({"--policy-mode", "open"}).sync_enabled);
  EXPECT_TRUE(Parsed({"--policy-mode", "open", "--sync-enabled", "true"}).sync_enabled);
}

TEST(SettingsTest, SyncNeedsATcpPortToHearItsOwnEventsThrough) {
  const Strings unix_only = {"--relay-listen=unix:/run/graspd.sock",
                             "--relay-urls=wss://r.example"};
  EXPECT_EQ(Refusal(unix_only),
            "relay.listen = [\"unix:/run/graspd.sock\"]: must name a TCP address with "
            "sync.enabled = true: graspd hears its own events through one");
  Strings without_sync = unix_only;
  without_sync.emplace_back("--sync-enabled=false");
  EXPECT_EQ(Refusal(without_sync), "not refused");
  EXPECT_EQ(Refusal({"--relay-listen=unix:/run/graspd.sock,127.0.0.1:7334",
                     "--relay-urls=wss://r.example"}),
            "not refused");
}

TEST(SettingsTest, LimitsThatContradictEachOtherAreRefusedWithBothValues) {
  EXPECT_EQ(Refusal({"--limits-event-bytes=2MiB", "--limits-message-bytes=1MiB"}),
            "limits.event_bytes = \"2MiB\": must not be above limits.message_bytes = \"1MiB\"");
  EXPECT_EQ(Refusal({"--limits-limit-default=6", "--limits-limit-max=5"}),
            "limits.limit_default = 6: must not be above limits.limit_max = 5");
  EXPECT_THAT(Refusal({"--limits-outbound-bytes", "64KiB"}),
              AllOf(HasSubstr("limits.event_bytes"), HasSubstr("limits.neg_message_bytes"),
                    HasSubstr("never be sent")));
  EXPECT_THAT(Refusal({"--limits-outbound-total-bytes", "1MiB"}),
              HasSubstr("must not be below limits.outbound_bytes"));
  EXPECT_EQ(Refusal({"--limits-events-burst=0", "--limits-events-per-second=2"}),
            "limits.events_burst = 0: must be at least 1 with limits.events_per_second = 2: no "
            "event could pass");
  EXPECT_THAT(Refusal({"--limits-reqs-burst", "0"}), HasSubstr("limits.reqs_per_second"));
  EXPECT_THAT(Refusal({"--limits-pong-timeout=30s", "--limits-ping-interval=30s"}),
              StartsWith("limits.pong_timeout = \"30s\": must be longer than "
                         "limits.ping_interval = \"30s\": "));
  EXPECT_EQ(Refusal({"--limits-events-burst=0", "--limits-events-per-second=0"}), "not refused");
}

TEST(SettingsTest, CommandsAreRecognised) {
  const auto command = [](const Strings& arguments) {
    return ParseInvocation(arguments, {"GRASPD_NONSENSE=1"}).value_or(Invocation()).command;
  };
  EXPECT_EQ(ParseInvocation({"serve"}, {})->command, Command::kServe);
  EXPECT_EQ(ParseInvocation({"config", "check"}, {})->command, Command::kConfigCheck);
  EXPECT_EQ(ParseInvocation({"--log-level=warn", "config", "dump"}, {})->command,
            Command::kConfigDump);
  EXPECT_EQ(command({"config", "docs"}), Command::kConfigDocs);
  EXPECT_EQ(command({"version"}), Command::kVersion);
  EXPECT_EQ(command({"--version"}), Command::kVersion);
  EXPECT_EQ(command({"--nonsense", "--help"}), Command::kHelp);
  EXPECT_EQ(command({"help"}), Command::kHelp);
}

TEST(SettingsTest, OnlyServeHasNoOutput) {
  EXPECT_FALSE(CommandOutput(Invocation()).has_value());
  EXPECT_THAT(*CommandOutput(*ParseInvocation({"version"}, {})), StartsWith("graspd "));
  EXPECT_THAT(*CommandOutput(*ParseInvocation({"config", "check"}, {})), HasSubstr("valid"));
}

TEST(SettingsTest, TheDumpReadsBackAsTheSameSettings) {
  const auto original =
      ParseInvocation({"config", "dump", "--relay-name", "a \"quoted\"\nname", "--sync-allow-cidrs",
                       "10.0.0.0/8", "--limits-events-per-second", "0.25", "--log-format", "text"},
                      {"GRASPD_LIMITS_NEG_IDLE=90s"});
  ASSERT_TRUE(original.ok()) << original.status();
  const std::string dump = *CommandOutput(*original);
  EXPECT_THAT(dump, HasSubstr("limits.neg_idle = \"90s\"  # env GRASPD_LIMITS_NEG_IDLE\n"));
  EXPECT_THAT(dump, HasSubstr("store = \"lmdb:./data\"  # default\n"));

  const TemporaryFile file(dump);
  const auto again = ParseInvocation({"--config", file.path()}, {});
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(again->effective.size(), original->effective.size());
  for (size_t i = 0; i < again->effective.size(); ++i) {
    EXPECT_EQ(again->effective[i].value, original->effective[i].value) << again->effective[i].name;
    EXPECT_EQ(again->effective[i].source, SettingSource::kFile);
  }
}

// Threats C5.
TEST(SettingsTest, ByDefaultAnIdleReconciliationEndsAfter30Seconds) {
  const std::string dump = *CommandOutput(*ParseInvocation({"config", "dump"}, {}));
  EXPECT_THAT(dump, HasSubstr("limits.neg_idle = \"30s\"  # default\n"));
}

TEST(SettingsTest, SpellingsFollowFromTheNameAndAreUnique) {
  std::set<std::string> flags = {"--config", "--help", "--version"};
  for (const SettingSpec& spec : SettingTable()) {
    EXPECT_TRUE(flags.insert(spec.Flag()).second) << spec.name;
  }
  const auto& table = SettingTable();
  const auto cidrs = std::find_if(table.begin(), table.end(),
                                  [](const auto& spec) { return spec.name == "sync.allow_cidrs"; });
  ASSERT_NE(cidrs, table.end());
  EXPECT_EQ(cidrs->Flag(), "--sync-allow-cidrs");
  EXPECT_EQ(cidrs->Variable(), "GRASPD_SYNC_ALLOW_CIDRS");
}

TEST(SettingsTest, DefaultsAreAllowedValues) {
  const Settings defaults;
  for (const SettingSpec& spec : SettingTable()) {
    const Given given = ReadToml(std::string(spec.name) + " = " + spec.toml(defaults), "test");
    ASSERT_THAT(given.values, SizeIs(1)) << spec.name;
    Settings settings;
    EXPECT_TRUE(spec.set(given.values[0].value, settings).ok()) << spec.name;
  }
}

TEST(SettingsTest, HelpNamesEverySettingWithinOneHundredColumns) {
  const std::string help = HelpText();
  for (const SettingSpec& spec : SettingTable()) {
    EXPECT_THAT(help, HasSubstr("\n  " + spec.Flag() + "\n"));
  }
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
}

TEST(SettingsTest, TheReferencePageIsUpToDate) {
  std::ifstream file("docs/configuration.md");  // tests run in the source directory
  ASSERT_TRUE(file.is_open());
  std::stringstream page;
  page << file.rdbuf();
  EXPECT_EQ(page.str(), ConfigurationMarkdown())
      << "run: build/release/bin/graspd config docs > docs/configuration.md";
}

TEST(SettingsTest, EnvironmentStringsAreCopiedUpToTheNull) {
  const char* const environ[] = {"A=1", "B=2", nullptr};
  EXPECT_THAT(EnvironmentStrings(environ), ElementsAre("A=1", "B=2"));
}

TEST(LimitsWithinTest, LowersWhatWouldNotFitAndNothingElse) {
  constexpr size_t kMiB = 1 << 20;
  nostr::Limits limits;
  limits.outbound_total_bytes = 20 * kMiB;
  const auto within = LimitsWithin(limits, 192 * kMiB);
  EXPECT_EQ(within.neg_memory_bytes, 96 * kMiB);
  EXPECT_EQ(within.inbound_total_bytes, 48 * kMiB);
  EXPECT_EQ(within.filter_total_bytes, 48 * kMiB);
  EXPECT_EQ(within.outbound_total_bytes, 20 * kMiB);
  EXPECT_EQ(LimitsWithin(limits, 1 << 30).neg_memory_bytes, limits.neg_memory_bytes);
}

}  // namespace
}  // namespace graspd::daemon
