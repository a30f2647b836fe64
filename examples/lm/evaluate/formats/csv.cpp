#include "evaluate/formats/csv.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "engine/error.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm::eval {
namespace {

class csv_reader {
 public:
  csv_reader(std::string_view text, std::string path) : text_(text), path_(std::move(path)) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);  // byte order mark
  }

  bool done() const { return at_ == text_.size(); }

  csv_row row() {
    csv_row out{path_ + ":" + std::to_string(line_), {}};
    do {
      out.fields.push_back(at('"') ? quoted(out.where) : plain(out.where));
      if (!is_utf8(out.fields.back())) fail(out.where, "text is not UTF-8");
    } while (take(','));
    end_of_row(out.where);
    return out;
  }

 private:
  bool at(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool take(char c) {
    if (!at(c)) return false;
    ++at_;
    return true;
  }

  std::string plain(const std::string& where) {
    const std::size_t end = std::min(text_.find_first_of(",\r\n\"", at_), text_.size());
    if (end < text_.size() && text_[end] == '"') fail(where, "a quote inside a plain field");
    const std::string_view out = text_.substr(at_, end - at_);
    at_ = end;
    return std::string(out);
  }

  std::string quoted(const std::string& where) {
    std::string out;
    for (++at_;;) {
      const std::size_t end = text_.find('"', at_);
      if (end == std::string_view::npos) fail(where, "a quote that is never closed");
      for (const char c : text_.substr(at_, end - at_)) {
        line_ += c == '\n' ? 1 : 0;
        out += c;
      }
      at_ = end + 1;
      if (!take('"')) return out;
      out += '"';
    }
  }

  void end_of_row(const std::string& where) {
    if (done()) return;
    take('\r');
    if (!take('\n')) fail(where, "characters after a quoted field, or a bare carriage return");
    ++line_;
  }

  std::string_view text_;
  std::string path_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

}  // namespace

std::vector<csv_row> parse_csv(std::string_view text, const std::string& path) {
  std::vector<csv_row> out;
  for (csv_reader in(text, path); !in.done();) out.push_back(in.row());
  return out;
}

}  // namespace rota_lm::eval
