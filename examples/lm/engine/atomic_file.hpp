// A file that is there whole or not at all.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace rota_lm {

/// Who may read a file. A cache tells what was in the prompt: its owner alone. A predictor's
/// weights: whoever the process's umask lets.
enum class readers { owner, as_usual };

/// Whether bytes written to `path` go somewhere else than into a file of that name: a device, a
/// pipe, a socket, or an open file like /dev/stdout. No new file may take the place of it.
bool is_stream(const std::string& path);

/// Writes a new file beside `path` and puts it in the place of `path` by commit(), in one step of
/// the file system: whoever opens `path` finds the old file or the new one. Without commit() the
/// new file is removed; what a killed process left is removed by the next writer of `path`. Where
/// `path` is a symbolic link, it goes on pointing and the file that it points to is replaced.
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
  void open_temporary();
  [[noreturn]] void refuse() const;

  std::string path_;       ///< as it was given, for messages
  std::string place_;      ///< where links lead to
  std::string temporary_;  ///< empty when there is none
  int file_ = -1;
};

}  // namespace rota_lm
