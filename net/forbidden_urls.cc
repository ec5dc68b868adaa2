#include "net/forbidden_urls.h"

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace graspd::net {
namespace {

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(std::move(part));
  return parts;
}

// Undoes \xNN.
std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(static_cast<char>(std::stoi(text.substr(i + 2, 2), nullptr, 16)));
    i += 3;
  }
  return out;
}

}  // namespace

std::vector<ForbiddenUrl> ReadForbiddenUrls(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<ForbiddenUrl> urls;
  for (std::string line; std::getline(file, line);) {
    auto columns = Split(line, '\t');
    columns.resize(4);
    if (columns[0] != "parse" && columns[0] != "guard") {
      throw std::runtime_error(path + ": not a stage: " + line);
    }
    urls.push_back(
        {columns[0] == "guard", columns[1], Unescape(columns[2]), Split(columns[3], ',')});
  }
  return urls;
}

}  // namespace graspd::net
