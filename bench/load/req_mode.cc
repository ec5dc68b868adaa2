// Stored events out: one query in flight on each connection.

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "bench/load/relay_text.h"
#include "bench/load/run.h"
#include "nostr/filter.h"

namespace graspd::bench {
namespace {

/// One filter, or a family of them, with the number of rows each must give.
struct QuerySet {
  std::string name;
  struct Query {
    std::string filter;  // JSON
    size_t rows = 0;
  };
  std::vector<Query> queries;  // asked in turn
};

QuerySet AuthorQueries(const EventMaker& maker, size_t first, size_t count) {
  constexpr size_t kLimit = 20;
  std::vector<size_t> events_of(kAuthors);
  for (size_t i = first; i < first + count; ++i) ++events_of[maker.AuthorOf(i)];
  QuerySet out{.name = "authors20", .queries = {}};
  for (size_t author = 0; author < kAuthors; ++author) {
    out.queries.push_back(
        {fmt::format(R"({{"authors":["{}"],"limit":{}}})", maker.author(author).ToHex(), kLimit),
         std::min(kLimit, events_of[author])});
  }
  return out;
}

absl::StatusOr<QuerySet> CustomQuery(const std::string& name, const std::string& json,
                                     const EventSet& events) {
  GRASPD_ASSIGN_OR_RETURN(const auto filter, nostr::ParseFilter(json));
  size_t rows = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    GRASPD_ASSIGN_OR_RETURN(const auto event, nostr::ParseEvent(events.json(i)));
    if (nostr::Matches(filter, event)) ++rows;
  }
  if (filter.limit) rows = std::min<size_t>(rows, *filter.limit);
  return QuerySet{.name = name, .queries = {{json, rows}}};
}

absl::StatusOr<QuerySet> MakeQueries(const std::string& filter, const Options& options,
                                     const EventMaker& maker, const EventSet& events) {
  if (filter == "authors20") return AuthorQueries(maker, options.first, options.count);
  if (filter == "kinds500") {
    return CustomQuery(filter, fmt::format(R"({{"kinds":[{}],"limit":500}})", kEventKind), events);
  }
  return CustomQuery("custom", filter, events);
}

class Asker {
 public:
  Asker(Client& client, const QuerySet& set, size_t count, Progress& progress)
      : client_(client), set_(set), count_(count), progress_(progress), asked_(client.size()) {
    latencies_.Reserve(count);
  }

  absl::Status Run() {
    client_.set_on_text(
        [this](size_t connection, std::string_view text) { return OnText(connection, text); });
    for (size_t c = 0; c < client_.size(); ++c) AskNext(c, client_.clock().Now());
    GRASPD_RETURN_IF_ERROR(client_.RunUntil([this] { return answered_ == count_; }));
    progress_.Clear();
    return absl::OkStatus();
  }
  [[nodiscard]] const Latencies& latencies() const { return latencies_; }
  [[nodiscard]] size_t rows() const { return rows_; }

 private:
  struct Asked {
    std::string subscription;  // empty = none
    size_t rows = 0, expected = 0;
    base::SteadyTime at;
  };

  void AskNext(size_t connection, base::SteadyTime now) {
    if (next_ == count_) return;
    const auto& query = set_.queries[next_ % set_.queries.size()];
    Asked& asked = asked_[connection];
    asked = {.subscription = fmt::format("q{}", next_), .expected = query.rows, .at = now};
    client_.Send(connection, {R"(["REQ",")", asked.subscription, R"(",)", query.filter, "]"});
    ++next_;
  }

  absl::Status OnText(size_t connection, std::string_view message) {
    const RelayText text = Scan(message);
    Asked& asked = asked_[connection];
    const bool ours = !asked.subscription.empty() && text.label == asked.subscription;
    if (text.verb == RelayText::Verb::kEvent && ours) {
      ++asked.rows;
      return absl::OkStatus();
    }
    if (text.verb == RelayText::Verb::kEose && ours) return OnEnd(connection, asked);
    // A relay may answer our CLOSE with CLOSED.
    if (text.verb == RelayText::Verb::kClosed && !ours) return absl::OkStatus();
    return Unexpected(text);
  }

  absl::Status OnEnd(size_t connection, Asked& asked) {
    if (asked.rows != asked.expected) {
      return absl::AbortedError(
          fmt::format("{}: {} rows instead of {} (does the relay hold just "
                      "the events of this run?)",
                      set_.name, asked.rows, asked.expected));
    }
    latencies_.Add(client_.read_at() - asked.at);
    rows_ += asked.rows;
    ++answered_;
    progress_.Show("queries answered", answered_);
    client_.Send(connection, {R"(["CLOSE",")", asked.subscription, R"("])"});
    asked.subscription.clear();
    AskNext(connection, client_.read_at());
    return absl::OkStatus();
  }

  Client& client_;
  const QuerySet& set_;
  const size_t count_;
  Progress& progress_;
  std::vector<Asked> asked_;  // by connection
  size_t next_ = 0, answered_ = 0, rows_ = 0;
  Latencies latencies_;
};

absl::Status Ask(const bench::Run& run, Client& client, const QuerySet& set) {
  Asker asker(client, set, run.options.queries, run.progress);
  const uint64_t bytes_before = client.bytes_read();
  GRASPD_ASSIGN_OR_RETURN(const auto meter, run.Measure());
  GRASPD_RETURN_IF_ERROR(asker.Run());
  GRASPD_ASSIGN_OR_RETURN(const auto cost, meter.End());

  const auto queries = static_cast<double>(run.options.queries);
  const auto rows = static_cast<double>(asker.rows());
  const auto name = [&](std::string_view what) { return fmt::format("{}.{}", set.name, what); };
  run.report.Result(name("rows"), asker.rows());
  run.report.Result(name("bytes"), client.bytes_read() - bytes_before);
  run.report.Result(name("queries_per_s"), queries / cost.wall_s);
  run.report.Result(name("rows_per_s"), rows / cost.wall_s);
  run.report.Result(name("query"), asker.latencies());
  run.report.Result(name(""), cost);
  if (!cost.relay) return absl::OkStatus();
  run.report.Result(name("relay_cpu_s_per_1000_queries"), cost.relay->cpu_s() / queries * 1000);
  run.report.Result(name("relay_us_per_row"), cost.relay->cpu_s() / std::max(rows, 1.0) * 1e6);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunReq(const bench::Run& run) {
  const Options& options = run.options;
  const EventMaker maker(options.seed, options.now);
  GRASPD_ASSIGN_OR_RETURN(const auto events, run.Events(maker));
  run.report.Parameter("connections", options.connections);
  run.report.Parameter("queries", options.queries);
  std::vector<QuerySet> sets;
  for (const auto& filter : options.filters) {
    GRASPD_ASSIGN_OR_RETURN(auto set, MakeQueries(filter, options, maker, events));
    sets.push_back(std::move(set));
  }
  GRASPD_RETURN_IF_ERROR(run.Load(events));
  GRASPD_ASSIGN_OR_RETURN(const auto client, run.Connect(options.connections));
  for (const auto& set : sets) GRASPD_RETURN_IF_ERROR(Ask(run, *client, set));
  return absl::OkStatus();
}

}  // namespace graspd::bench
