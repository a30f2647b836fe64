// What a long run has found out so far, written down as it goes: a run that was stopped goes on
// where it was, and rows that are added later are all that is run then.
#pragma once

#include <cstddef>
#include <fstream>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "evaluate/results.hpp"

namespace rota_lm {
class json_field;
}  // namespace rota_lm

namespace rota_lm::eval {

/// What a row gave on some consecutive samples of a task.
struct journal_entry {
  std::vector<outcome> outcomes;
  byte_sums bytes;
  std::string failure;
};

/// A file of JSON lines: the run in words, then an entry a line. A last line that was cut by the
/// end of the process does not count.
class journal {
 public:
  /// Opens the file or begins it. `run` says everything that all entries depend on; a file of
  /// another run is refused.
  journal(std::string path, const std::string& run);

  /// Null where the row has not been run on these samples.
  const journal_entry* find(const std::string& row, const std::string& task, std::size_t first,
                            std::size_t last) const;
  void add(const std::string& row, const std::string& task, std::size_t first,
           const journal_entry& entry);

 private:
  using entry_key = std::tuple<std::string, std::string, std::size_t>;
  static entry_key key(const std::string& row, const std::string& task, std::size_t first);
  void write_line(const nlohmann::json& line);
  void read(const std::string& run);
  void write_first(const std::string& run);
  void take(const json_field& line);

  std::string path_;
  std::ofstream out_;
  std::map<entry_key, journal_entry> entries_;
};

}  // namespace rota_lm::eval
