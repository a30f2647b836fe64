// JSON from untrusted files: bounded size and depth, no duplicate keys, typed and ranged access
// whose errors name the file and the field. Who looks into a `json` itself, beyond json_field,
// includes <nlohmann/json.hpp>, which takes seconds to compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include "engine/error.hpp"

namespace rota_lm {

using json = nlohmann::json;

/// Bounds on a JSON document. Depth counts nested objects and arrays. Values are all that stand in
/// the document, containers too: "[]," takes three bytes of a file and thirty times that in memory.
struct json_limits {
  std::size_t bytes = std::size_t{16} << 20;
  std::size_t depth = 32;
  std::size_t values = std::size_t{4} << 20;
};

/// Parses `text`; `where` names it in errors. Beyond its text a document takes less than 200 bytes
/// for each of its values, of which there are no more than the limit.
json parse_json(std::string_view text, const std::string& where, json_limits limits = {});

/// Reads and parses the file at `path`.
json read_json(const std::string& path, json_limits limits = {});

/// A JSON value together with its name ("config.json: rope_scaling.factor"), so that each wrong
/// type or range is reported where it is. Refers to the document, which must outlive it.
class json_field {
 public:
  json_field(const json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  const json& value() const { return *value_; }
  const std::string& where() const { return where_; }
  bool is_null() const;

  /// Whether this object has a member `key` that is not null.
  bool has(const std::string& key) const;
  /// The member `key`; throws when it is absent.
  json_field at(const std::string& key) const;
  /// The member `key`, nothing when it is absent or null.
  std::optional<json_field> find(const std::string& key) const;
  json_field at(std::size_t index) const;
  /// Elements of this array.
  std::size_t size() const;

  const json& object() const;
  const json& array() const;
  const std::string& string() const;
  bool boolean() const;
  /// An integer in [low, high].
  std::int64_t integer(std::int64_t low, std::int64_t high) const;
  /// A count in [low, high].
  std::size_t count(std::size_t low, std::size_t high) const;
  /// A finite number in [low, high].
  double number(double low, double high) const;

 private:
  std::string child(const std::string& key) const;

  const json* value_;
  std::string where_;
};

}  // namespace rota_lm
