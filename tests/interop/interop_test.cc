// The relay with clients that others wrote. What is asked and expected stands in the scripts beside
// this file; tools/install_interop.sh installs the clients.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/e2e/support.h"
#include "tests/interop/fixture.h"

namespace graspd::e2e {
namespace {

const std::string kRustNostr = PythonScript("rust_nostr.py");
const std::vector<std::string> kOpen = {"--policy-mode=open"};

class InteropTest : public testing::Test {
 protected:
  void SetUp() override { RequireInteropSoftware(); }

  [[nodiscard]] Graspd Start(const std::string& name, std::vector<std::string> flags) const {
    flags.insert(flags.end(), {"--store=memory:", "--sync-enabled=false", "--relay-name=interop"});
    return Graspd(dir_, name, flags);
  }
  static void ExpectSuccess(const std::vector<std::string>& arguments) {
    const Outcome outcome = RunToEnd(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  }
  void NostrTools(const std::string& name, const std::vector<std::string>& flags = kOpen) const {
    const Graspd graspd = Start("graspd", flags);
    ExpectSuccess({kNode, kBesideTheLink, NodeScript("nostr_tools.mjs"), name, graspd.relay_url()});
  }
  void GoNostr(const std::string& name) const {
    const Graspd graspd = Start("graspd", kOpen);
    ExpectSuccess({kGoNostr, name, graspd.relay_url()});
  }
  void RustNostr(const std::string& name) const {
    const Graspd graspd = Start("graspd", kOpen);
    ExpectSuccess({kPython, kNoBytecode, kRustNostr, name, graspd.relay_url()});
  }

  const TempDir dir_;
};

TEST_F(InteropTest, NostrToolsPublishesAndFetches) { NostrTools("publish_and_fetch"); }
TEST_F(InteropTest, NostrToolsFilters) { NostrTools("filters"); }
TEST_F(InteropTest, NostrToolsHearsLiveEvents) { NostrTools("live"); }
TEST_F(InteropTest, NostrToolsHearsEphemeralEvents) { NostrTools("ephemeral"); }
TEST_F(InteropTest, NostrToolsCounts) { NostrTools("count"); }
TEST_F(InteropTest, NostrToolsReplaces) { NostrTools("replaceable_and_addressable"); }
TEST_F(InteropTest, NostrToolsDeletes) { NostrTools("deletion"); }
TEST_F(InteropTest, NostrToolsIsToldWhyItIsRefused) { NostrTools("refusals"); }
TEST_F(InteropTest, NostrToolsReadsTheInformationDocument) { NostrTools("information"); }
TEST_F(InteropTest, NostrToolsAuthenticatesToPublishWhatIsProtected) {
  NostrTools("authentication");
}
TEST_F(InteropTest, NostrToolsReconciles) { NostrTools("negentropy"); }
TEST_F(InteropTest, NostrToolsCollaboratesOnARepository) {
  NostrTools("git_collaboration", {"--policy-mode=grasp", "--relay-urls=wss://grasp.example"});
}

TEST_F(InteropTest, GoNostrPublishesAndFilters) { GoNostr("events"); }
TEST_F(InteropTest, GoNostrHearsLiveEvents) { GoNostr("live"); }
TEST_F(InteropTest, GoNostrCounts) { GoNostr("count"); }
TEST_F(InteropTest, GoNostrAuthenticatesToPublishWhatIsProtected) { GoNostr("authentication"); }
TEST_F(InteropTest, GoNostrSyncsBothWays) { GoNostr("reconciliation"); }

TEST_F(InteropTest, RustNostrPublishesAndFilters) { RustNostr("events_and_filters"); }
TEST_F(InteropTest, RustNostrHearsLiveEvents) { RustNostr("live"); }
TEST_F(InteropTest, RustNostrCounts) { RustNostr("count"); }
TEST_F(InteropTest, RustNostrReplacesAndDeletes) { RustNostr("replacement_and_deletion"); }
TEST_F(InteropTest, RustNostrIsToldWhyItIsRefused) { RustNostr("refusals"); }
TEST_F(InteropTest, RustNostrAuthenticatesToPublishWhatIsProtected) { RustNostr("authentication"); }
TEST_F(InteropTest, RustNostrSyncsTwoRelaysBothWays) {
  const Graspd first = Start("first", kOpen), second = Start("second", kOpen);
  ExpectSuccess(
      {kPython, kNoBytecode, kRustNostr, "sync_two_relays", first.relay_url(), second.relay_url()});
}

}  // namespace
}  // namespace graspd::e2e
