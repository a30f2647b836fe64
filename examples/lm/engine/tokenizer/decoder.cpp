#include "engine/tokenizer/decoder.hpp"

#include <utility>
#include <variant>

#include "engine/error.hpp"

namespace rota_lm {

using decode_steps::token_part;
using decode_steps::token_parts;

decoder::decoder() {
  steps_.push_back({decode_steps::join(), growth_bound("decoder")});
}

decoder::decoder(const json_field& field) {
  read(field);
}

std::string decoder::push(const std::string& spelling) {
  // A token counts one byte more than it has: the space that may come before it.
  for (bounded_step& s : steps_) s.bound.give(spelling.size() + 1);
  return run({{spelling}}, false);
}

std::string decoder::finish() {
  return run({}, true);
}

std::string decoder::run(token_parts parts, bool finishes) {
  for (bounded_step& s : steps_) {
    token_parts made;
    std::visit(
        [&](auto& step) {
          for (token_part& part : parts) step.push(std::move(part), s.bound, made);
          if (finishes) step.finish(made);
        },
        s.step);
    for (const token_part& part : made) s.bound.make(part.text.size());
    parts = std::move(made);
  }
  std::string out;
  for (const token_part& part : parts) out += part.text;
  return out;
}

void decoder::read(const json_field& field) {
  const std::string& type = field.at("type").string();
  if (type == "Sequence") {
    const json_field list = field.at("decoders");
    for (std::size_t i = 0; i < list.size(); ++i) read(list.at(i));
  } else if (type == "ByteLevel") {
    add(decode_steps::byte_level(), field);
  } else if (type == "Replace") {
    add(decode_steps::replace(field), field);
  } else if (type == "ByteFallback") {
    add(decode_steps::byte_fallback(), field);
  } else if (type == "Fuse") {
    add(decode_steps::fuse(), field);
  } else if (type == "Strip") {
    add(decode_steps::strip(field), field);
  } else if (type == "Metaspace") {
    add(decode_steps::metaspace(field), field);
  } else {
    fail(field.where(), "decoder \"" + printable(type, 40) + "\" is not supported");
  }
}

void decoder::add(decode_steps::step step, const json_field& field) {
  steps_.push_back({std::move(step), growth_bound(field.where())});
  check_step_count(field, steps_.size());
}

}  // namespace rota_lm
