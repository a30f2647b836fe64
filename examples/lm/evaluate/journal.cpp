#include "evaluate/journal.hpp"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/json.hpp"

namespace rota_lm::eval {
namespace {

/// JSON knows no infinity and no NaN, which a score may be: they are written in words.
json to_json(double x) {
  if (std::isfinite(x)) return x;
  return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
}

/// A number of at least `low`, or one that is none.
double to_number(const json_field& f, double low) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (f.value() == "nan" || f.is_null()) return std::nan("");  // null: in older journals
  if (f.value() == "inf") return infinity;
  if (f.value() == "-inf" && low < 0) return -infinity;
  return f.number(low, std::numeric_limits<double>::max());
}

}  // namespace

journal::journal(std::string path, const std::string& run) : path_(std::move(path)) {
  const bool fresh = !std::filesystem::exists(path_);
  if (!fresh && !std::filesystem::is_regular_file(path_)) {
    fail(path_, "cannot be a journal: is not a regular file");
  }
  if (!fresh) read(run);
  out_.open(path_, std::ios::binary | std::ios::app);
  if (fresh) write_line(json{{"run", run}});
  if (!out_) fail(path_, "cannot be written");
}

const journal_entry* journal::find(const std::string& row, const std::string& task,
                                   std::size_t first, std::size_t last) const {
  const auto found = entries_.find(key(row, task, first));
  const bool whole = found != entries_.end() && found->second.outcomes.size() == last - first;
  return whole ? &found->second : nullptr;
}

void journal::add(const std::string& row, const std::string& task, std::size_t first,
                  const journal_entry& entry) {
  json line{{"row", row}, {"task", task}, {"first", first}};
  for (const outcome& o : entry.outcomes) {
    line["scores"].push_back(to_json(o.score));
    line["weights"].push_back(to_json(o.weight));
  }
  const byte_sums& b = entry.bytes;
  for (const double x :
       {b.packed, b.dense, b.worst_ratio, b.tokens, b.all_tokens, b.groups, b.all_groups, b.read})
    line["bytes"].push_back(to_json(x));
  if (!entry.failure.empty()) line["failure"] = entry.failure;
  write_line(line);
}

journal::entry_key journal::key(const std::string& row, const std::string& task,
                                std::size_t first) {
  return {row, task, first};
}

void journal::write_line(const json& line) {
  out_ << line.dump() << '\n' << std::flush;
  if (!out_) fail(path_, "cannot be written");
}

void journal::read(const std::string& run) {
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

void journal::write_first(const std::string& run) {
  std::ofstream out(path_, std::ios::binary | std::ios::app);
  out << json{{"run", run}}.dump() << '\n';
}

void journal::take(const json_field& line) {
  journal_entry e;
  const json_field scores = line.at("scores"), weights = line.at("weights");
  for (std::size_t i = 0; i < scores.size(); ++i) {
    e.outcomes.push_back({to_number(scores.at(i), std::numeric_limits<double>::lowest()),
                          to_number(weights.at(i), 0)});
  }
  const json_field b = line.at("bytes");
  const auto number = [&](std::size_t i) { return to_number(b.at(i), 0); };
  const double read = number(b.size() > 7 ? 7 : 0);  // older journals know packed rows only
  e.bytes = {number(0), number(1), number(2), number(3), number(4), number(5), number(6), read};
  if (line.has("failure")) e.failure = line.at("failure").string();
  entries_[key(line.at("row").string(), line.at("task").string(),
               line.at("first").count(0, SIZE_MAX / 2))] = std::move(e);
}

}  // namespace rota_lm::eval
