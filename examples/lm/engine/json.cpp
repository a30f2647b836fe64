#include "engine/json.hpp"

#include <vector>

#include <nlohmann/json.hpp>

#include "engine/mapped_file.hpp"

namespace rota_lm {

namespace {

/// Builds a document from parse events. Depth, number of values and duplicate keys are checked as
/// events arrive, so an absurd document is refused before it is built.
class json_builder {
 public:
  json_builder(json& root, std::string where, const json_limits& limits)
      : root_(root), where_(std::move(where)), limits_(limits) {}

  bool null() { return add(json(nullptr)), true; }
  bool boolean(bool value) { return add(json(value)), true; }
  bool number_integer(json::number_integer_t value) { return add(json(value)), true; }
  bool number_unsigned(json::number_unsigned_t value) { return add(json(value)), true; }
  bool number_float(json::number_float_t value, const std::string&) {
    return add(json(value)), true;
  }
  bool string(std::string& value) { return add(json(std::move(value))), true; }
  bool binary(json::binary_t&) { fail(where_, "binary value in JSON"); }
  bool start_object(std::size_t) { return open(json::object()), true; }
  bool start_array(std::size_t) { return open(json::array()), true; }
  bool end_object() { return open_.pop_back(), true; }
  bool end_array() { return open_.pop_back(), true; }

  bool key(std::string& name) {
    const auto [place, fresh] = open_.back()->emplace(name, nullptr);
    if (!fresh) fail(where_, "duplicate JSON key \"" + printable(name) + "\"");
    member_ = &*place;
    return true;
  }

  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception&) {
    fail(where_, "not valid JSON at byte " + std::to_string(position));
  }

 private:
  json* add(json&& value) {
    if (++values_ > limits_.values) {
      fail(where_, "JSON of more than " + std::to_string(limits_.values) + " values");
    }
    json* slot = &root_;
    if (!open_.empty() && open_.back()->is_array()) {
      open_.back()->push_back(nullptr);
      slot = &open_.back()->back();
    } else if (!open_.empty()) {
      slot = member_;
    }
    *slot = std::move(value);
    return slot;
  }
  void open(json&& container) {
    if (open_.size() == limits_.depth) {
      fail(where_, "JSON nested deeper than " + std::to_string(limits_.depth));
    }
    open_.push_back(add(std::move(container)));
  }

  json& root_;
  std::string where_;
  json_limits limits_;
  std::size_t values_ = 0;
  // Pointers stay valid: a container is not added to while a member of it is open.
  std::vector<json*> open_;
  json* member_ = nullptr;
};

}  // namespace

json parse_json(std::string_view text, const std::string& where, json_limits limits) {
  if (text.size() > limits.bytes) {
    fail(where, "JSON of " + std::to_string(text.size()) + " bytes, the limit is " +
                    std::to_string(limits.bytes));
  }
  // The parser takes a NUL for the end of the text and would not look at what follows.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    fail(where, "not valid JSON at byte " + std::to_string(nul + 1) + ": a NUL character");
  }
  json root;
  json_builder builder(root, where, limits);
  json::sax_parse(text.begin(), text.end(), &builder);
  return root;
}

json read_json(const std::string& path, json_limits limits) {
  const mapped_file file(path);
  return parse_json(file.text(), path, limits);
}

bool json_field::is_null() const {
  return value_->is_null();
}

bool json_field::has(const std::string& key) const {
  const auto found = object().find(key);
  return found != value_->end() && !found->is_null();
}

json_field json_field::at(const std::string& key) const {
  const auto found = object().find(key);
  if (found == value_->end()) fail(where_, "no field \"" + printable(key) + "\"");
  return {*found, child(key)};
}

std::optional<json_field> json_field::find(const std::string& key) const {
  if (!has(key)) return std::nullopt;
  return at(key);
}

json_field json_field::at(std::size_t index) const {
  if (index >= array().size()) fail(where_, "array too short");
  return {(*value_)[index], where_ + "[" + std::to_string(index) + "]"};
}

std::size_t json_field::size() const {
  return array().size();
}

const json& json_field::object() const {
  if (!value_->is_object()) fail(where_, "must be an object");
  return *value_;
}

const json& json_field::array() const {
  if (!value_->is_array()) fail(where_, "must be an array");
  return *value_;
}

const std::string& json_field::string() const {
  if (!value_->is_string()) fail(where_, "must be a string");
  return value_->get_ref<const std::string&>();
}

bool json_field::boolean() const {
  if (!value_->is_boolean()) fail(where_, "must be true or false");
  return value_->get<bool>();
}

std::int64_t json_field::integer(std::int64_t low, std::int64_t high) const {
  if (!value_->is_number_integer()) fail(where_, "must be an integer");
  const bool huge = value_->is_number_unsigned() && value_->get<std::uint64_t>() > INT64_MAX;
  if (huge || value_->get<std::int64_t>() < low || value_->get<std::int64_t>() > high) {
    fail(where_, "is " + value_->dump() + ", must be in [" + std::to_string(low) + ", " +
                     std::to_string(high) + "]");
  }
  return value_->get<std::int64_t>();
}

std::size_t json_field::count(std::size_t low, std::size_t high) const {
  return static_cast<std::size_t>(
      integer(static_cast<std::int64_t>(low), static_cast<std::int64_t>(high)));
}

double json_field::number(double low, double high) const {
  if (!value_->is_number()) fail(where_, "must be a number");
  const double x = value_->get<double>();
  if (!(x >= low && x <= high)) {
    fail(where_, "is " + value_->dump() + ", must be in [" + json(low).dump() + ", " +
                     json(high).dump() + "]");
  }
  return x;
}

std::string json_field::child(const std::string& key) const {
  return where_ + (where_.find(": ") == std::string::npos ? ": " : ".") + printable(key, 80);
}

}  // namespace rota_lm
