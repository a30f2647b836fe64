// Chat templates against transformers' apply_chat_template (tests/goldens/make_chat_goldens.py).
#include "engine/tokenizer/chat_template.hpp"

#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "engine/json.hpp"
#include "engine/tokenizer/jinja_strings.hpp"
#include "temp_folder.hpp"

namespace {

using rota_lm::chat_template;
using rota_lm::json;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;

json chats() {
  return rota_lm::read_json(std::string(rota_own::source_dir()) + "/tests/goldens/text/chats.json");
}

std::string refusal(const std::string& source) {
  return error_of([&] { chat_template(source, "<s>", "x"); });
}

}  // namespace

TEST_CASE("the four families format as apply_chat_template does") {
  const json families = chats();
  REQUIRE(families.size() == 9);
  for (const json& family : families) {
    CAPTURE(family.at("name").get<std::string>());
    const chat_template chat(family.at("template").get<std::string>(), "<s>", "x");
    for (const json& row : family.at("chats")) {
      const auto user = row.at("user").get<std::string>();
      std::optional<std::string> system;
      if (!row.at("system").is_null()) system = row.at("system").get<std::string>();
      if (row.at("text").is_null()) {
        CHECK(one_line_with(error_of([&] { chat.format(user, system); }), "no place for a system"));
      } else {
        CHECK(chat.format(user, system) == row.at("text"));
      }
    }
  }
}

TEST_CASE("a template that asks for the day's date gets it") {
  const std::string source =
      "{{- bos_token }}{%- set date_string = strftime_now('%d %b %Y') %}{{- '<|start_header_id|>' "
      "}}{{- 'Cutting Knowledge Date: December 2023\\n' }}{{- '<|eot_id|>' }}";
  const std::string text = chat_template(source, "<s>", "x").format("hi");
  const std::string before = "Cutting Knowledge Date: December 2023\nToday Date: ";
  const std::size_t at = text.find(before);
  REQUIRE(at != std::string::npos);
  CHECK(text.substr(at + before.size() + 7, 2) == "20");  // "26 Jul 2024"
  CHECK(text.substr(at + before.size() + 11, 2) == "\n\n");
}

TEST_CASE("unknown templates are refused, naming --raw") {
  for (const std::string source :
       {"", "{{ 'User: ' + messages[0].content }}", "<|im_start|>{{ message.role }}",
        "{{ '<|im_start|>user<|im_sep|>' + content + '<|im_end|>' }}",
        "{{ '[SYSTEM_PROMPT]' + s + '[/SYSTEM_PROMPT][INST]' + u + '[/INST]' }}",
        "{{ '[INST] ' + u + ' [/INST]' }}{{ '[INST]' + u + ' [/INST]' }}", "{{ '[INST] ' + u }}",
        "{{ '<|im_start|>", "{# '<|im_start|>' '<|im_end|>' #}", "{", "{{", "{#"}) {
    CAPTURE(source);
    CHECK(one_line_with(refusal(source), "--raw"));
  }
  const std::string wants_bos = "{{ bos_token + '[INST] ' + u + ' [/INST]' }}";
  CHECK(one_line_with(error_of([&] { chat_template(wants_bos, "", "x"); }), "bos_token"));
}

TEST_CASE("templates are found where checkpoints have them") {
  const std::string source = chats().at(0).at("template").get<std::string>();
  const rota_lm_test::temp_folder folder;
  const auto load = [&](const json& config) {
    folder.write("tokenizer_config.json", config.dump());
    return chat_template::load(folder.path()).format("hi");
  };
  const std::string expected = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
  CHECK(load({{"chat_template", source}}) == expected);
  CHECK(load({{"chat_template", {{{"name", "default"}, {"template", source}}}}}) == expected);
  CHECK(load({{"bos_token", {{"content", "<b>"}}},
              {"chat_template", "{{ bos_token }}" + source}}) == "<b>" + expected);
  CHECK(one_line_with(error_of([&] { load(json::object()); }), "--raw"));
  CHECK(one_line_with(error_of([&] { load({{"chat_template", json::array()}}); }), "--raw"));
  folder.write("chat_template.jinja", source);
  CHECK(load(json::object()) == expected);
}

TEST_CASE("string literals of a template") {
  using list = std::vector<std::string>;
  using rota_lm::jinja_strings;
  CHECK(jinja_strings("it's {{ 'a\\n' + \"b'}}\" }} 'no' {% if x == '\\'' %}") ==
        list{"a\n", "b'}}", "'"});
  CHECK(jinja_strings("{# 'no' #}{{ 'yes' }}{ 'no' }{{{'a':1}}}") == list{"yes", "a"});
  CHECK(jinja_strings("{{ 'open").size() == 1);
}
