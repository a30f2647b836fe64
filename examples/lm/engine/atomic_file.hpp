// A file that is there whole or not at all.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace rota_lm {

/// Who may read a file. A cache tells what was in the prompt: its owner alone. A predictor's
/// weights: whoever the process's umask lets.
enum class readers { owner, as_usual };

/// Writes a new file beside `path` and puts it in the place of `path` by commit(), in one step of
/// the file system: whoever opens `path` finds the old file or the new one. Without commit() the
/// new file is removed.
class atomic_file {
 public:
  /// Throws when no file can be written there: to be called before the work whose result it takes.
  explicit atomic_file(std::string path, readers who = readers::owner);
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  ~atomic_file();

  void write(std::span<const std::byte> bytes);

  /// The file is on the disk, under its name, when this returns.
  void commit();

 private:
  [[noreturn]] void refuse() const;
  void sync_folder() const;

  std::string path_;
  std::string temporary_;
  int file_ = -1;
};

}  // namespace rota_lm
