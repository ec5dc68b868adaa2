#include "services/relay/info_pages.h"

#include <initializer_list>
#include <string_view>
#include <utility>

#include "nostr/json_writer.h"
#include "nostr/relay_url.h"

namespace graspd::relay {
namespace {

std::string NipList() {
  std::string list;
  for (const uint32_t nip : kSupportedNips)
    list += (list.empty() ? "[" : ",") + std::to_string(nip);
  return list + "]";
}

/// A JSON object, written field by field.
class ObjectWriter {
 public:
  void Text(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    Key(key);
    nostr::AppendJsonString(out_, value);
  }
  void Number(std::string_view key, uint64_t value) { Raw(key, std::to_string(value)); }
  void Bool(std::string_view key, bool value) { Raw(key, value ? "true" : "false"); }
  void Raw(std::string_view key, std::string_view json) {
    Key(key);
    out_ += json;
  }
  [[nodiscard]] std::string Finish() && {
    out_ += '}';
    return std::move(out_);
  }

 private:
  void Key(std::string_view key) {
    if (out_.size() > 1) out_ += ',';
    nostr::AppendJsonString(out_, key);
    out_ += ':';
  }
  std::string out_ = "{";
};

std::string_view AcceptanceCriteria(const RelayInfo& info) {
  switch (info.mode) {
    case ingest::PolicyMode::kGrasp:
      return info.operator_chooses
                 ? "Announcements of repositories that the operator has chosen and that list this "
                   "service, and events that refer to them."
                 : "Repository announcements that list this service, and events that refer to "
                   "them.";
    case ingest::PolicyMode::kArchive:
      return info.operator_chooses
                 ? "Announcements of repositories that the operator has chosen, or that list this "
                   "service, and events that refer to them."
                 : "All repository announcements, and events that refer to them.";
    case ingest::PolicyMode::kOpen:
      return "Every valid event.";
  }
  return "";
}

std::string Grasps(const RelayInfo& info) {
  std::string out = "[";
  const auto add = [&out](bool enabled, std::string_view name) {
    if (!enabled) return;
    if (out.size() > 1) out += ',';
    nostr::AppendJsonString(out, name);
  };
  add(info.git_service_beside, "GRASP-01");
  add(info.sync_enabled, "GRASP-02");
  add(info.mode == ingest::PolicyMode::kArchive, "GRASP-05");
  return out + "]";
}

std::string Limitation(const RelayInfo& info, const nostr::Limits& limits) {
  ObjectWriter out;
  out.Number("max_message_length", limits.message_bytes);
  out.Number("max_subscriptions", limits.subscriptions);
  out.Number("max_filters", limits.filters_per_req);
  out.Number("max_limit", limits.limit_max);
  out.Number("default_limit", limits.limit_default);
  out.Number("max_subid_length", limits.subscription_id_chars);
  out.Number("max_event_tags", limits.event_tags);
  out.Number("max_content_length", limits.event_bytes);  // no content of an event is longer
  out.Number("created_at_upper_limit", limits.created_at_ahead_seconds);
  out.Bool("auth_required", false);
  out.Bool("payment_required", false);
  out.Bool("restricted_writes", info.mode != ingest::PolicyMode::kOpen || info.blacklists);
  return std::move(out).Finish();
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string Page(std::string_view title, std::string_view body) {
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>";
  out += EscapeHtml(title);
  out +=
      "</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;"
      "padding:0 1rem;color:#222;background:#fff}code{background:#eee;padding:.1em .3em}"
      "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}"
      "code{background:#333}}</style></head><body>";
  out += body;
  out += "</body></html>\n";
  return out;
}

std::string LandingPage(const RelayInfo& info) {
  std::string body = "<h1>" + EscapeHtml(info.name) + "</h1>";
  if (!info.description.empty()) body += "<p>" + EscapeHtml(info.description) + "</p>";
  body += "<p>This is a <a href=\"https://nostr.com\">Nostr</a> relay for git collaboration. ";
  body += "It takes: " + EscapeHtml(AcceptanceCriteria(info)) + "</p>";
  if (!info.url.empty()) {
    body += "<p>Connect a client to <code>" + EscapeHtml(info.url) + "</code></p>";
  }
  if (!info.contact.empty()) body += "<p>Contact: " + EscapeHtml(info.contact) + "</p>";
  body += "<p><small>graspd " + EscapeHtml(info.version) + "</small></p>";
  return Page(info.name, body);
}

net::HttpResponse Html(int status, std::string body) {
  return {status,
          "text/html; charset=utf-8",
          std::move(body),
          {{"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"},
           {"X-Content-Type-Options", "nosniff"}}};
}

}  // namespace

std::string RelayInformationDocument(const RelayInfo& info, const nostr::Limits& limits) {
  ObjectWriter out;
  out.Text("name", info.name);
  out.Text("description", info.description);
  out.Text("pubkey", info.pubkey);
  out.Text("self", info.self);
  out.Text("contact", info.contact);
  out.Text("software", info.software);
  out.Text("version", info.version);
  out.Raw("supported_nips", NipList());
  out.Raw("supported_grasps", Grasps(info));
  out.Text("repo_acceptance_criteria", AcceptanceCriteria(info));
  if (info.operator_chooses) out.Text("curation", "The operator chooses the repositories.");
  out.Raw("limitation", Limitation(info, limits));
  return std::move(out).Finish();
}

InfoPages::InfoPages(const RelayInfo& info, const nostr::Limits& limits)
    : path_("/"),
      document_(RelayInformationDocument(info, limits)),
      landing_(LandingPage(info)),
      not_found_(Page("Not found",
                      "<h1>Not found</h1><p>There is only the <a href=\"/\">relay</a> "
                      "here.</p>")) {
  if (const auto path = nostr::ParseUrlPath(info.url); path.ok()) path_ = *path;
}

net::HttpResponse InfoPages::Answer(const net::HttpRequest& request) const {
  if (request.method == "OPTIONS") return {204, "", "", {}};
  if (request.path() != "/" && request.path() != path_) return Html(404, not_found_);
  if (request.method != "GET" && request.method != "HEAD") {
    return {405, "text/plain; charset=utf-8", "GET only\n", {{"Allow", "GET, HEAD, OPTIONS"}}};
  }
  if (request.Header("accept").find("application/nostr+json") != std::string_view::npos) {
    return {200, "application/nostr+json", document_, {{"Vary", "Accept"}}};
  }
  auto page = Html(200, landing_);
  page.headers.emplace_back("Vary", "Accept");
  return page;
}

}  // namespace graspd::relay
