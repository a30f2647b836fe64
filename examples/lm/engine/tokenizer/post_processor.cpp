#include "engine/tokenizer/post_processor.hpp"

#include <cstddef>
#include <string>

#include "engine/error.hpp"
#include "engine/tokenizer/bpe.hpp"

namespace rota_lm {

namespace {

/// Real templates add one or two. A few mentions of long lists would be millions.
constexpr std::size_t max_ids = 1024;

void append_special(const json_field& field, const std::string& name, std::vector<token_id>& out) {
  const json_field ids = field.at("special_tokens").at(name).at("ids");
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (out.size() == max_ids) {
      fail(field.where(), "puts more than " + std::to_string(max_ids) +
                              " tokens beside a text, which is not supported");
    }
    out.push_back(static_cast<token_id>(ids.at(i).integer(0, bpe::max_id)));
  }
}

}  // namespace

post_processor::post_processor(const json_field& field) {
  read(field);
}

void post_processor::apply(std::vector<token_id>& ids) const {
  ids.insert(ids.begin(), before_.begin(), before_.end());
  ids.insert(ids.end(), after_.begin(), after_.end());
}

std::vector<token_id> post_processor::ids() const {
  std::vector<token_id> all = before_;
  all.insert(all.end(), after_.begin(), after_.end());
  return all;
}

void post_processor::read(const json_field& field) {
  const std::string& type = field.at("type").string();
  if (type == "Sequence") {
    const json_field list = field.at("processors");
    for (std::size_t i = 0; i < list.size(); ++i) read(list.at(i));
  } else if (type == "TemplateProcessing") {
    read_template(field);
  } else if (type != "ByteLevel") {
    fail(field.where(), "post-processor \"" + printable(type, 40) + "\" is not supported");
  }
}

void post_processor::read_template(const json_field& field) {
  if (!before_.empty() || !after_.empty()) fail(field.where(), "a second template");
  const json_field items = field.at("single");
  bool text_seen = false;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const json_field item = items.at(i);
    if (const auto special = item.find("SpecialToken")) {
      append_special(field, special->at("id").string(), text_seen ? after_ : before_);
    } else if (item.find("Sequence") && !text_seen) {
      text_seen = true;
    } else {
      fail(item.where(), "must be a SpecialToken, or the one Sequence");
    }
  }
  if (!text_seen) fail(items.where(), "has no place for the text");
}

}  // namespace rota_lm
