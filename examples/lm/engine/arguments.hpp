// Command lines of the form --name value.
#pragma once

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include "engine/error.hpp"

namespace rota_lm {

/// A parsed command line. Throws on names outside `known`, names without a value and repetitions.
class arguments {
 public:
  arguments(int argc, const char* const* argv, const std::set<std::string>& known) {
    for (int i = 1; i < argc; i += 2) {
      const std::string_view word = argv[i];
      const std::string name(word.starts_with("--") ? word.substr(2) : "");
      if (!known.contains(name)) fail(word, "unknown argument");
      if (i + 1 == argc) fail(word, "needs a value");
      if (!values_.emplace(name, argv[i + 1]).second) fail(word, "given twice");
    }
  }

  /// The name as it is written on the command line.
  static std::string flag(const std::string& name) { return std::string("--").append(name); }

  bool has(const std::string& name) const { return values_.contains(name); }
  const std::string& text(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) fail(flag(name), "is required");
    return found->second;
  }
  /// A whole number in [low, high]; `otherwise` when not given.
  std::uint64_t count(const std::string& name, std::uint64_t otherwise, std::uint64_t low = 0,
                      std::uint64_t high = UINT64_MAX) const {
    if (!has(name)) return otherwise;
    const std::string& word = text(name);
    std::uint64_t value = 0;
    const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
    const bool whole = problem == std::errc() && end == word.data() + word.size();
    if (!whole || value < low || value > high) {
      fail(flag(name), "\"" + printable(word, 40) + "\" is not a whole number in [" +
                           std::to_string(low) + ", " + std::to_string(high) + "]");
    }
    return value;
  }
  /// A finite number; `otherwise` when not given.
  double number(const std::string& name, double otherwise) const {
    if (!has(name)) return otherwise;
    const std::string& word = text(name);
    double value = 0;
    const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (problem != std::errc() || end != word.data() + word.size() || !std::isfinite(value)) {
      fail(flag(name), "\"" + printable(word, 40) + "\" is not a number");
    }
    return value;
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace rota_lm
