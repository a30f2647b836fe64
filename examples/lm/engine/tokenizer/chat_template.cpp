#include "engine/tokenizer/chat_template.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/mapped_file.hpp"
#include "engine/tokenizer/jinja_strings.hpp"
#include "engine/tokenizer/unicode.hpp"
#include "engine/tokenizer/utf8.hpp"

namespace rota_lm {

namespace {

using strings = std::vector<std::string>;

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  fail(where, what +
                  ": only ChatML, Llama 2, Llama 3 and Mistral templates are supported, give "
                  "--raw to use the prompt as it is");
}

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

bool any_holds(const strings& literals, std::string_view part) {
  return std::ranges::any_of(literals, [&](const std::string& s) { return holds(s, part); });
}

/// The one literal that holds `part`; throws when several different ones do.
std::string only_holder(const strings& literals, std::string_view part, const std::string& where) {
  strings found;
  std::ranges::copy_if(literals, std::back_inserter(found),
                       [&](const std::string& s) { return holds(s, part); });
  for (const std::string& literal : found) {
    if (literal != found.front()) refuse(where, "writes " + std::string(part) + " in several ways");
  }
  if (found.empty()) refuse(where, "does not write " + std::string(part));
  return found.front();
}

/// Whether each "<|im_start|>" is followed by the role and a line end, as far as can be seen.
bool is_chatml(const strings& literals) {
  static constexpr std::string_view start = "<|im_start|>";
  for (const std::string& literal : literals) {
    const std::size_t at = literal.find(start);
    if (at == std::string::npos) continue;
    const auto role = literal.substr(at + start.size());
    const auto end = std::ranges::find_if_not(role, [](char c) { return c >= 'a' && c <= 'z'; });
    if (end != role.end() && *end != '\n') return false;
  }
  return any_holds(literals, start) && any_holds(literals, "<|im_end|>");
}

/// The system message that a ChatML template has for conversations without one.
std::optional<std::string> own_system(const strings& literals) {
  static constexpr std::string_view start = "<|im_start|>system\n";
  for (const std::string& literal : literals) {
    const std::size_t end = literal.find("<|im_end|>");
    if (literal.starts_with(start) && end != std::string::npos) {
      return literal.substr(start.size(), end - start.size());
    }
  }
  return std::nullopt;
}

/// "26 Jul 2024"
bool is_date(const std::string& text) {
  return text.size() == 11 && text[2] == ' ' && text[6] == ' ' && std::isdigit(text[0]) != 0 &&
         std::isdigit(text[10]) != 0;
}

std::string date_of_today() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%d %b %Y", &local)};
}

/// Without the white space around it, as Python's strip() and Jinja's trim have it.
std::string_view trimmed(std::string_view text) {
  const decoded_text decoded = decode_utf8(text);
  const auto space = [](char32_t c) { return unicode::is_space(c) || (c >= 0x1c && c <= 0x1f); };
  std::size_t first = 0, last = decoded.points.size();
  while (first < last && space(decoded.points[first])) ++first;
  while (last > first && space(decoded.points[last - 1])) --last;
  return text.substr(decoded.starts[first], decoded.starts[last] - decoded.starts[first]);
}

/// A token of tokenizer_config.json: its text, or an object that has it.
std::string token_text(const json_field& config, const std::string& name) {
  const auto token = config.find(name);
  if (!token) return {};
  return token->value().is_object() ? token->at("content").string() : token->string();
}

/// The "chat_template" of tokenizer_config.json: a text, or a list of named ones.
std::string default_template(const json_field& config) {
  const auto source = config.find("chat_template");
  if (!source)
    fail(config.where(), "has no \"chat_template\", give --raw to use the prompt as it is");
  if (source->value().is_string()) return source->string();
  for (std::size_t i = 0; i < source->size(); ++i) {
    const json_field named = source->at(i);
    if (named.at("name").string() == "default") return named.at("template").string();
  }
  fail(source->where(), "has none named \"default\", give --raw to use the prompt as it is");
}

}  // namespace

chat_template chat_template::load(const std::string& directory) {
  const std::string path = directory + "/tokenizer_config.json";
  const json document = read_json(path);
  const json_field config(document, path);
  const std::string bos = token_text(config, "bos_token");
  const std::string own_file = directory + "/chat_template.jinja";
  if (std::filesystem::exists(own_file)) {
    return chat_template(std::string(mapped_file(own_file).text()), bos, own_file);
  }
  return chat_template(default_template(config), bos, path + ": chat_template");
}

chat_template::chat_template(const std::string& source, std::string bos, const std::string& where)
    : where_(where) {
  const strings literals = jinja_strings(source);
  trims_ = holds(source, "trim");
  if (is_chatml(literals)) {
    family_ = family::chatml;
    system_ = own_system(literals);
    assistant_ = "<|im_start|>assistant\n";
    if (any_holds(literals, assistant_ + "<think>\n")) assistant_ += "<think>\n";
  } else if (any_holds(literals, "<|start_header_id|>") && any_holds(literals, "<|eot_id|>")) {
    family_ = family::llama3;
    assistant_ = "<|start_header_id|>assistant<|end_header_id|>\n\n";
    if (any_holds(literals, "Cutting Knowledge Date: ")) {
      knowledge_date_ = only_holder(literals, "Cutting Knowledge Date: ", where);
    }
    const auto date = std::ranges::find_if(literals, is_date);
    if (date != literals.end() && !holds(source, "strftime_now")) today_ = *date;
  } else if (any_holds(literals, "[INST]") && !any_holds(literals, "[SYSTEM_PROMPT]")) {
    family_ = any_holds(literals, "<<SYS>>") ? family::llama2 : family::mistral;
    before_ = only_holder(literals, "[INST]", where);
    after_ = only_holder(literals, "[/INST]", where);
    takes_system_ =
        family_ == family::llama2 || std::ranges::find(literals, "\n\n") != literals.end();
  } else {
    refuse(where, "is of an unknown family");
  }
  if (!holds(source, "bos_token")) return;
  if (bos.empty()) fail(where, "wants a \"bos_token\", which tokenizer_config.json does not have");
  bos_ = std::move(bos);
}

std::string chat_template::format(std::string_view user,
                                  std::optional<std::string_view> system) const {
  if (system && !takes_system_) fail(where_, "has no place for a system message, leave it out");
  switch (family_) {
    case family::chatml:
      return bos_ + chatml(user, system);
    case family::llama3:
      return bos_ + llama3(user, system);
    default:
      return bos_ + instruction(user, system);
  }
}

std::string chat_template::chatml(std::string_view user,
                                  std::optional<std::string_view> system) const {
  const auto turn = [](std::string_view role, std::string_view content) {
    return "<|im_start|>" + std::string(role) + "\n" + std::string(content) + "<|im_end|>\n";
  };
  std::string out;
  if (system || system_) out += turn("system", system ? *system : *system_);
  return out + turn("user", user) + assistant_;
}

std::string chat_template::llama3(std::string_view user,
                                  std::optional<std::string_view> system) const {
  const auto turn = [](std::string_view role, std::string_view content) {
    return "<|start_header_id|>" + std::string(role) + "<|end_header_id|>\n\n" +
           std::string(content) + "<|eot_id|>";
  };
  const auto content = [&](std::string_view text) { return trims_ ? trimmed(text) : text; };
  std::string preamble;
  if (knowledge_date_) {
    preamble = *knowledge_date_ + "Today Date: " + today_.value_or(date_of_today()) + "\n\n";
  }
  std::string out;
  if (system || knowledge_date_) {
    out += turn("system", preamble.append(content(system.value_or(""))));
  }
  return out + turn("user", content(user)) + assistant_;
}

/// Llama 2 and Mistral put the system message into the instruction.
std::string chat_template::instruction(std::string_view user,
                                       std::optional<std::string_view> system) const {
  std::string content(user);
  if (family_ == family::llama2) {
    if (system) content = "<<SYS>>\n" + std::string(*system) + "\n<</SYS>>\n\n" + content;
    content = std::string(trimmed(content));
  } else if (system) {
    content = std::string(*system) + "\n\n" + content;
  }
  return before_ + content + after_;
}

}  // namespace rota_lm
