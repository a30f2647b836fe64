#include "evaluate/formats/ruler.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/mapped_file.hpp"

namespace rota_lm::eval {
namespace {

constexpr std::size_t max_new_tokens = 4096;

/// A string that is not empty, or an array of such.
std::vector<std::string> strings_of(const json_field& field) {
  std::vector<std::string> out;
  if (field.value().is_array()) {
    for (std::size_t i = 0; i < field.size(); ++i) out.push_back(field.at(i).string());
  } else {
    out.push_back(field.string());
  }
  if (out.empty()) fail(field.where(), "names no reference");
  for (const std::string& s : out) {
    if (s.empty()) fail(field.where(), "an empty reference is in every answer");
  }
  return out;
}

ruler_sample read_ruler_line(const json_field& line) {
  ruler_sample s;
  s.where = line.where();
  if (line.has("context")) {
    s.context = line.at("context").string();
    s.question = line.at("question").string();
  } else {
    // RULER's templates ask in the last line.
    const std::string& input = line.at("input").string();
    const std::size_t end = std::min(input.find_last_not_of(" \n"), input.size());
    const std::size_t cut = input.rfind('\n', end);
    if (cut == std::string::npos) fail(s.where, "\"input\" has no line before its question");
    s.context = input.substr(0, cut + 1);
    s.question = input.substr(cut + 1);
  }
  if (s.context.empty()) fail(s.where, "the context is empty");
  if (s.question.empty()) fail(s.where, "the question is empty");
  if (const auto begun = line.find("answer_prefix")) s.question += begun->string();
  s.references = strings_of(line.has("outputs") ? line.at("outputs") : line.at("answer"));
  if (const auto n = line.find("max_new_tokens")) s.new_tokens = n->count(1, max_new_tokens);
  return s;
}

}  // namespace

std::vector<ruler_sample> read_ruler(const std::string& path) {
  const mapped_file file(path);
  std::string_view rest = file.text();
  std::vector<ruler_sample> out;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.find_first_not_of(" \r\t") == std::string_view::npos) continue;
    const std::string where = path + ":" + std::to_string(number);
    const json document = parse_json(line, where);
    out.push_back(read_ruler_line(json_field(document, where)));
  }
  if (out.empty()) fail(path, "has no samples");
  return out;
}

std::string ruler_name(const std::string& path) {
  const std::filesystem::path p(path);
  const std::string stem = p.stem().string();
  const bool split = stem == "validation" || stem == "test" || stem == "train";
  const std::string folder = p.parent_path().filename().string();
  return split && !folder.empty() ? folder : stem;
}

task ruler_task(const std::string& path, std::size_t new_tokens, const options& o,
                const model_config& config, const tokenizer& text) {
  const auto all = std::make_shared<const std::vector<ruler_sample>>(read_ruler(path));
  task t;
  t.name = ruler_name(path);
  t.how = scoring::contains;
  t.samples = std::min(o.samples, all->size());
  t.make = [all, new_tokens, when = o.when, limit = config.max_positions,
            &text](std::size_t number) {
    const ruler_sample& s = (*all)[number];
    written_sample w;
    w.how = scoring::contains;
    w.where = s.where;
    w.context = text.encode(s.context);
    w.question = text.encode(s.question, false);
    w.references = s.references;
    w.new_tokens = s.new_tokens > 0 ? s.new_tokens : new_tokens;
    // What an answer would be, for the oracle: the first reference.
    w.answers = {text.encode(" " + s.references[0], false)};
    return cut(std::move(w), when, limit);
  };
  return t;
}

}  // namespace rota_lm::eval
