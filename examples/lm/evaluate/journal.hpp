// What a long run has found out so far, written down as it goes: a run that was stopped goes on
// where it was, and rows that are added later are all that is run then.
#pragma once

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/json.hpp"
#include "evaluate/results.hpp"

namespace rota_lm::eval {

/// What a row gave on some consecutive samples of a task.
struct journal_entry {
  std::vector<outcome> outcomes;
  byte_sums bytes;
  std::string failure;
};

namespace detail {

/// JSON knows no infinity and no NaN, which a score may be: they are written in words.
inline json to_json(double x) {
  if (std::isfinite(x)) return x;
  return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
}
/// A number of at least `low`, or one that is none.
inline double to_number(const json_field& f, double low) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (f.value() == "nan" || f.is_null()) return std::nan("");  // null: in older journals
  if (f.value() == "inf") return infinity;
  if (f.value() == "-inf" && low < 0) return -infinity;
  return f.number(low, std::numeric_limits<double>::max());
}

}  // namespace detail

/// A file of JSON lines: the run in words, then an entry a line. A last line that was cut by the
/// end of the process does not count.
class journal {
 public:
  /// Opens the file or begins it. `run` says everything that all entries depend on; a file of
  /// another run is refused.
  journal(std::string path, const std::string& run) : path_(std::move(path)) {
    const bool fresh = !std::filesystem::exists(path_);
    if (!fresh && !std::filesystem::is_regular_file(path_))
      fail(path_, "cannot be a journal: is not a regular file");
    if (!fresh) read(run);
    out_.open(path_, std::ios::binary | std::ios::app);
    if (fresh) write_line(json{{"run", run}});
    if (!out_) fail(path_, "cannot be written");
  }

  /// Null where the row has not been run on these samples.
  const journal_entry* find(const std::string& row, const std::string& task, std::size_t first,
                            std::size_t last) const {
    const auto found = entries_.find(key(row, task, first));
    const bool whole = found != entries_.end() && found->second.outcomes.size() == last - first;
    return whole ? &found->second : nullptr;
  }

  void add(const std::string& row, const std::string& task, std::size_t first,
           const journal_entry& entry) {
    json line{{"row", row}, {"task", task}, {"first", first}};
    for (const outcome& o : entry.outcomes) {
      line["scores"].push_back(detail::to_json(o.score));
      line["weights"].push_back(detail::to_json(o.weight));
    }
    const byte_sums& b = entry.bytes;
    for (const double x :
         {b.packed, b.dense, b.worst_ratio, b.tokens, b.all_tokens, b.groups, b.all_groups, b.read})
      line["bytes"].push_back(detail::to_json(x));
    if (!entry.failure.empty()) line["failure"] = entry.failure;
    write_line(line);
  }

 private:
  using entry_key = std::tuple<std::string, std::string, std::size_t>;
  static entry_key key(const std::string& row, const std::string& task, std::size_t first) {
    return {row, task, first};
  }

  void write_line(const json& line) {
    out_ << line.dump() << '\n' << std::flush;
    if (!out_) fail(path_, "cannot be written");
  }

  void read(const std::string& run) {
    std::ifstream in(path_, std::ios::binary);
    std::string line;
    std::size_t number = 0;
    std::uintmax_t whole = 0;  // bytes of complete lines
    while (std::getline(in, line) && !in.eof()) {
      whole += line.size() + 1;
      const std::string where = path_ + ":" + std::to_string(++number);
      const json document = parse_json(line, where);
      const json_field field(document, where);
      if (number == 1) {
        if (field.at("run").string() != run) {
          fail(path_, "is of another run: take another folder, or delete it");
        }
      } else {
        take(field);
      }
    }
    in.close();
    // Cut off what a killed process left half written: the next line shall be one of its own.
    std::filesystem::resize_file(path_, whole);
    if (number == 0) write_first(run);
  }

  void write_first(const std::string& run) {
    std::ofstream out(path_, std::ios::binary | std::ios::app);
    out << json{{"run", run}}.dump() << '\n';
  }

  void take(const json_field& line) {
    journal_entry e;
    const json_field scores = line.at("scores"), weights = line.at("weights");
    for (std::size_t i = 0; i < scores.size(); ++i) {
      e.outcomes.push_back({detail::to_number(scores.at(i), std::numeric_limits<double>::lowest()),
                            detail::to_number(weights.at(i), 0)});
    }
    const json_field b = line.at("bytes");
    const auto number = [&](std::size_t i) { return detail::to_number(b.at(i), 0); };
    const double read = number(b.size() > 7 ? 7 : 0);  // older journals know packed rows only
    e.bytes = {number(0), number(1), number(2), number(3), number(4), number(5), number(6), read};
    if (line.has("failure")) e.failure = line.at("failure").string();
    entries_[key(line.at("row").string(), line.at("task").string(),
                 line.at("first").count(0, SIZE_MAX / 2))] = std::move(e);
  }

  std::string path_;
  std::ofstream out_;
  std::map<entry_key, journal_entry> entries_;
};

}  // namespace rota_lm::eval
