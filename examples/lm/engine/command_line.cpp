#include "engine/command_line.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <system_error>
#include <utility>

#include <CLI/CLI.hpp>

#include <rota/core/version.hpp>

#include "engine/error.hpp"

namespace rota_lm {
namespace {

std::string flag_of(const std::string& name) {
  return "--" + name;
}

std::string shown(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

template <class T, class Show>
std::string joined(const std::vector<T>& values, Show&& show) {
  std::string out;
  for (const T& value : values) out += (out.empty() ? "" : ",") + show(value);
  return out;
}

/// The parts between commas; refuses empty ones.
std::vector<std::string> parts_of(const std::string& text, const std::string& where) {
  std::vector<std::string> out;
  for (std::size_t at = 0;;) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    out.push_back(text.substr(at, comma - at));
    if (out.back().empty()) fail(where, "\"" + printable(text, 80) + "\" has an empty entry");
    if (comma == text.size()) return out;
    at = comma + 1;
  }
}

/// Adds a value to a list that must not have it yet.
template <class T>
void add_once(std::vector<T>& list, T value, const std::string& word, const std::string& where) {
  if (std::find(list.begin(), list.end(), value) != list.end()) {
    fail(where, "names \"" + printable(word, 40) + "\" twice");
  }
  list.push_back(std::move(value));
}

template <class T>
bool reads_whole(const std::string& word, T& value) {
  const char* const last = word.data() + word.size();
  const auto [end, problem] = std::from_chars(word.data(), last, value);
  return problem == std::errc() && end == last;
}

double number_of(const std::string& word, double low, double high, const std::string& where) {
  double value = 0;
  if (!reads_whole(word, value) || !std::isfinite(value)) {
    fail(where, "\"" + printable(word, 40) + "\" is not a number");
  }
  if (value < low || value > high) {
    const bool bounded = std::isfinite(low) && std::isfinite(high);
    fail(where, "\"" + printable(word, 40) + "\" is not " +
                    (bounded ? "a number in [" + shown(low) + ", " + shown(high) + "]"
                             : "at least " + shown(low)));
  }
  return value;
}

template <class T>
T count_of(const std::string& word, T low, T high, const std::string& where) {
  T value = 0;
  if (!reads_whole(word, value) || value < low || value > high) {
    fail(where, "\"" + printable(word, 40) + "\" is not a whole number in [" + std::to_string(low) +
                    ", " + std::to_string(high) + "]");
  }
  return value;
}

}  // namespace

struct command_line::parser {
  CLI::App app;
};

command_line::command_line(const std::string& program, const std::string& about)
    : parser_(new parser{CLI::App(about, program)}) {
  CLI::App& app = parser_->app;
  app.set_version_flag("--version", program + " of Rota " + std::to_string(ROTA_VERSION_MAJOR) +
                                        "." + std::to_string(ROTA_VERSION_MINOR) + "." +
                                        std::to_string(ROTA_VERSION_PATCH));
  app.set_help_flag("--help", "Print this and exit");
}

command_line::~command_line() = default;

void command_line::word(const std::string& name, const std::string& otherwise,
                        const std::function<void(const std::string&)>& read,
                        const std::string& help) {
  CLI::Option* const option =
      parser_->app.add_option_function<std::string>(flag_of(name), read, help);
  option->group(group_)->option_text(otherwise.empty() ? "TEXT" : "[" + otherwise + "]");
}

void command_line::text(const std::string& name, std::string& value, const std::string& help) {
  word(
      name, value,
      [&value, where = flag_of(name)](const std::string& given) {
        if (given.empty()) fail(where, "is empty: give a value or leave the option out");
        value = given;
      },
      help);
}

void command_line::any_text(const std::string& name, std::string& value, const std::string& help) {
  word(
      name, value, [&value](const std::string& given) { value = given; }, help);
}

void command_line::texts(const std::string& name, std::vector<std::string>& values,
                         const std::string& help) {
  word(
      name, joined(values, [](const std::string& v) { return v; }),
      [&values, where = flag_of(name)](const std::string& given) {
        values.clear();
        for (const std::string& part : parts_of(given, where)) add_once(values, part, part, where);
      },
      help);
}

void command_line::number(const std::string& name, double& value, double low, double high,
                          const std::string& help) {
  word(
      name, shown(value),
      [&value, low, high, where = flag_of(name)](const std::string& given) {
        value = number_of(given, low, high, where);
      },
      help);
}

void command_line::numbers(const std::string& name, std::vector<double>& values, double low,
                           double high, const std::string& help) {
  word(
      name, joined(values, shown),
      [&values, low, high, where = flag_of(name)](const std::string& given) {
        values.clear();
        for (const std::string& part : parts_of(given, where)) {
          add_once(values, number_of(part, low, high, where), part, where);
        }
      },
      help);
}

void command_line::count(const std::string& name, std::uint64_t& value, std::uint64_t low,
                         std::uint64_t high, const std::string& help) {
  word(
      name, std::to_string(value),
      [&value, low, high, where = flag_of(name)](const std::string& given) {
        value = count_of(given, low, high, where);
      },
      help);
}

void command_line::count(const std::string& name, int& value, int low, int high,
                         const std::string& help) {
  word(
      name, std::to_string(value),
      [&value, low, high, where = flag_of(name)](const std::string& given) {
        value = count_of(given, low, high, where);
      },
      help);
}

void command_line::counts(const std::string& name, std::vector<std::uint64_t>& values,
                          std::uint64_t low, std::uint64_t high, const std::string& help) {
  word(
      name, joined(values, [](std::uint64_t v) { return std::to_string(v); }),
      [&values, low, high, where = flag_of(name)](const std::string& given) {
        values.clear();
        for (const std::string& part : parts_of(given, where)) {
          add_once(values, count_of(part, low, high, where), part, where);
        }
      },
      help);
}

void command_line::flag(const std::string& name, bool& value, const std::string& help) {
  parser_->app.add_flag(flag_of(name), value, help)->group(group_);
}

void command_line::require(const std::string& name) {
  parser_->app.get_option(flag_of(name))->required();
}

void command_line::exclude(const std::string& name, const std::string& other) {
  parser_->app.get_option(flag_of(name))->excludes(flag_of(other));
}

void command_line::need(const std::string& name, const std::string& other) {
  parser_->app.get_option(flag_of(name))->needs(parser_->app.get_option(flag_of(other)));
}

void command_line::parse(int argc, const char* const* argv) {
  CLI::App& app = parser_->app;
  // Last first, as CLI11 takes them. A value that begins with a dash is tied to its option.
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const CLI::Option* const option =
        word.starts_with("--") ? app.get_option_no_throw(word) : nullptr;
    const bool takes = option != nullptr && option->get_expected_max() > 0;
    const std::string next = takes && i + 1 < argc ? argv[i + 1] : "";
    if (next.size() > 1 && next[0] == '-' && app.get_option_no_throw(next) == nullptr) {
      words.push_back(word + "=" + next);
      ++i;
    } else {
      words.push_back(word);
      if (takes && i + 1 < argc) words.emplace_back(argv[++i]);
    }
  }
  std::reverse(words.begin(), words.end());
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    throw help_wanted(app.help());
  } catch (const CLI::CallForVersion& version) {
    throw help_wanted(std::string(version.what()) + "\n");
  } catch (const CLI::ParseError& problem) {
    fail("command line", std::string(problem.what()) + " (--help lists the options)");
  }
}

bool command_line::knows(const std::string& name) const {
  return parser_->app.get_option_no_throw(flag_of(name)) != nullptr;
}

bool command_line::given(const std::string& name) const {
  return parser_->app.count(flag_of(name)) > 0;
}

}  // namespace rota_lm
