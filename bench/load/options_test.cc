#include "bench/load/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace graspd::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string ErrorOf(const std::vector<std::string>& arguments) {
  const auto options = ParseOptions(arguments);
  return options.ok() ? "" : std::string(options.status().message());
}

TEST(Options, EachModeHasItsOwnDefaults) {
  const auto ingest = ParseOptions({"ingest", "--url", "ws://relay"});
  const auto fanout = ParseOptions({"fanout", "--url", "ws://relay"});
  ASSERT_TRUE(ingest.ok() && fanout.ok());
  EXPECT_EQ(ingest->connections, 8U);
  EXPECT_EQ(fanout->connections, 1000U);
}

TEST(Options, ValuesAreSeparateOrBehindAnEqualsSign) {
  const auto options =
      ParseOptions({"fanout", "--url=ws://relay", "--connections", "7", "--paced=2.5/s"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->connections, 7U);
  EXPECT_EQ(options->paced, 2.5);
}

TEST(Options, SwitchesTakeNoValue) {
  const auto options = ParseOptions({"req", "--no-load", "--url", "ws://relay"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->no_load);
  EXPECT_THAT(ErrorOf({"req", "--url", "ws://relay", "--no-load=1"}), HasSubstr("no value"));
}

TEST(Options, GivenFiltersReplaceTheDefaultOnes) {
  const auto options =
      ParseOptions({"req", "--url", "ws://relay", "--filter", "{}", "--filter", "kinds500"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_THAT(options->filters, ElementsAre("{}", "kinds500"));
}

TEST(Options, DiscoveryPlaysRoundsOrHoldsIdleRemotes) {
  const auto rounds = ParseOptions({"discovery", "--url", "ws://relay"});
  const auto idle = ParseOptions({"discovery", "--url", "ws://relay", "--idle", "500"});
  ASSERT_TRUE(rounds.ok() && idle.ok());
  EXPECT_EQ(rounds->rounds, 200U);
  EXPECT_EQ(rounds->remotes, 0U);
  EXPECT_EQ(idle->remotes, 500U);
  EXPECT_EQ(idle->hold, 30);
}

TEST(Options, CatchupTakesADelayAndMayBeEqual) {
  const auto options =
      ParseOptions({"catchup", "--url", "ws://relay", "--delay", "2.5", "--equal", "--no-load"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->delay, 2.5);
  EXPECT_TRUE(options->equal && options->no_load);
  EXPECT_EQ(options->issues, 1000U);
}

TEST(Options, SaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf({}), HasSubstr("mode"));
  EXPECT_THAT(ErrorOf({"swim"}), HasSubstr("swim"));
  EXPECT_THAT(ErrorOf({"ingest"}), HasSubstr("--url"));
  EXPECT_THAT(ErrorOf({"ingest", "--url"}), HasSubstr("lacks its value"));
  EXPECT_THAT(ErrorOf({"ingest", "--url", "ws://r", "--count", "ten"}), HasSubstr("'ten'"));
  EXPECT_THAT(ErrorOf({"ingest", "--url", "ws://r", "--count", "0"}), HasSubstr("positive"));
  EXPECT_THAT(ErrorOf({"ingest", "--url", "ws://r", "--burst", "2"}), HasSubstr("no option"));
  EXPECT_THAT(ErrorOf({"discovery", "--url", "ws://r", "--rounds", "0"}), HasSubstr("--rounds"));
  EXPECT_THAT(ErrorOf({"catchup", "--url", "ws://r", "--issues", "0"}), HasSubstr("--issues"));
  EXPECT_THAT(ErrorOf({"catchup", "--url", "ws://r", "--no-load"}), HasSubstr("--equal"));
  EXPECT_THAT(ErrorOf({"catchup", "--url", "ws://r", "--equal", "--verify-baseline"}),
              HasSubstr("--equal"));
  EXPECT_THAT(ErrorOf({"discovery", "--url", "ws://r", "--delay", "5"}), HasSubstr("no option"));
  EXPECT_THAT(ErrorOf({"negentropy", "--url", "ws://r", "--difference", "101"}),
              HasSubstr("at most 100"));
  EXPECT_THAT(ErrorOf({"idle", "--url", "ws://r", "--filter", "{}", "--filter", "{}"}),
              HasSubstr("one is enough"));
}

TEST(Options, HelpNamesTheOptionsOfTheModeOnly) {
  EXPECT_THAT(ModeHelp(Mode::kIdle), HasSubstr("--hold"));
  EXPECT_THAT(ModeHelp(Mode::kIdle), HasSubstr("[5000]"));
  EXPECT_THAT(ModeHelp(Mode::kIdle), testing::Not(HasSubstr("--burst")));
}

}  // namespace
}  // namespace graspd::bench
