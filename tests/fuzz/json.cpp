// Any bytes as JSON: refused, or a document that another parser accepts and that survives a round
// trip, each of whose fields can be asked for as anything.
#include "engine/json.hpp"

#include <cmath>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "fuzz/target.hpp"

namespace {

using rota_fuzz::refused;
using rota_fuzz::require;
using namespace rota_lm;

void ask_everything(const json_field& field) {
  refused([&] { field.boolean(); });
  refused([&] { field.string(); });
  refused([&] {
    const std::int64_t n = field.integer(-7, 1 << 20);
    require(n >= -7 && n <= 1 << 20, "an integer is in its range");
  });
  refused([&] { require(field.count(0, 9) <= 9, "a count is in its range"); });
  refused([&] { require(std::isfinite(field.number(-1e30, 1e30)), "a number is finite"); });
  refused([&] { field.find("a"); });
  refused([&] { field.at("b"); });
  refused([&] { field.at(std::size_t{1}); });
}

void walk(const json_field& field) {
  ask_everything(field);
  if (field.value().is_array()) {
    for (std::size_t i = 0; i < field.size(); ++i) walk(field.at(i));
  } else if (field.value().is_object()) {
    for (const auto& [key, member] : field.object().items()) {
      require(field.has(key) != member.is_null(), "has() finds members that are not null");
      walk(field.at(key));
    }
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  refused([&] {
    const json document = parse_json(text, "a.json", {1 << 16, 8});
    require(text.find('\0') == text.npos, "a document ends where its text ends");
    require(json::accept(text), "what is accepted is JSON");
    require(parse_json(document.dump(), "again") == document, "a document survives a round trip");
    walk(json_field(document, "a.json"));
  });
  return 0;
}
