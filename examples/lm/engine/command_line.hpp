// The command line of a program: long options in groups, values checked, --help and --version.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rota_lm {

/// What --help or --version asks for: text for standard output, and success.
class help_wanted : public std::exception {
 public:
  explicit help_wanted(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

/// Options are named without their dashes. Each declaration says where a value goes; what is not
/// given is left as it is, and the help shows it as the default. Places must outlive parse().
class command_line {
 public:
  /// `about`: what the program does, in a sentence or two.
  command_line(const std::string& program, const std::string& about);
  ~command_line();
  command_line(const command_line&) = delete;
  command_line& operator=(const command_line&) = delete;

  /// Declarations that follow stand under this title in the help.
  void group(const std::string& title) { group_ = title; }

  /// A text that is not empty: a path, a name.
  void text(const std::string& name, std::string& value, const std::string& help);
  /// Any text, also an empty one.
  void any_text(const std::string& name, std::string& value, const std::string& help);
  /// Texts between commas, none empty, none twice.
  void texts(const std::string& name, std::vector<std::string>& values, const std::string& help);
  /// A finite number in [low, high].
  void number(const std::string& name, double& value, double low, double high,
              const std::string& help);
  /// Numbers in [low, high] between commas, none twice as a number.
  void numbers(const std::string& name, std::vector<double>& values, double low, double high,
               const std::string& help);
  /// A whole number in [low, high].
  void count(const std::string& name, std::uint64_t& value, std::uint64_t low, std::uint64_t high,
             const std::string& help);
  /// Whole numbers in [low, high] between commas, none twice.
  void counts(const std::string& name, std::vector<std::uint64_t>& values, std::uint64_t low,
              std::uint64_t high, const std::string& help);
  void count(const std::string& name, int& value, int low, int high, const std::string& help);
  /// A switch: true when given. Takes no value.
  void flag(const std::string& name, bool& value, const std::string& help);
  /// A word that `read` understands or refuses by an exception. `otherwise`: as the help shows it.
  void word(const std::string& name, const std::string& otherwise,
            const std::function<void(const std::string&)>& read, const std::string& help);

  /// The program does nothing without this option.
  void require(const std::string& name);
  /// An option that cannot be given with the other.
  void exclude(const std::string& name, const std::string& other);
  /// An option that cannot be given without the other.
  void need(const std::string& name, const std::string& other);

  /// Reads the values into their places. Throws rota_lm::error, in one line that names the option,
  /// on what is unknown, given twice, out of range, missing or does not go together; help_wanted on
  /// --help and --version.
  void parse(int argc, const char* const* argv);

  bool knows(const std::string& name) const;
  bool given(const std::string& name) const;

 private:
  struct parser;
  std::unique_ptr<parser> parser_;
  std::string group_ = "Options";
};

}  // namespace rota_lm
