#include "adapt/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include <rota/core/record.hpp>

#include "engine/adapters.hpp"
#include "engine/arguments.hpp"
#include "engine/value_routing_file.hpp"

namespace rota_lm {

constexpr std::string_view adapt_usage =
    "adapt --model DIR --out DIR [--text FILE, or the generator's market]\n"
    "  [--targets q,k,v,o,gate,up,down] [--rank 16, 0: none] [--alpha 16]\n"
    "  [--subspaces 1] [--active 1] [--gate softmax|sigmoid] [--balance 0.01]\n"
    "  [--groups all|fixed_groups|value_norm|fixed_k|adaptive_span|entropy_span]\n"
    "  [--router per_head|shared|hierarchical] [--group-width 8] [--sinks 4] [--window 16]\n"
    "  [--fill zero|mean|low_rank] [--fill-rank 8] [--basis identity|hadamard|random|pca]\n"
    "  [--rhos 1,0.75,0.5,0.375,0.25,0.125: each sequence has one of them]\n"
    "  [--prefix 192] [--continuation 96] [--prefix-weight 1] [--calibrate-at 768]\n"
    "  [--steps 1000] [--batch 4] [--learning-rate 0.003] [--lora-router-rate 0.02]\n"
    "  [--router-rate 0.1] [--fill-rate 0.2] [--warmup 20] [--clip 1] [--weight-decay 0] [--seed "
    "1] [--threads 2]\n"
    "  [--state FILE: goes on from there where it exists, and keeps it up to date]\n"
    "  [--json FILE: the course of the losses]\n";

namespace {

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    out.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return out;
}

template <class Table>
auto choice(const Table& table, const std::string& word, const std::string& where) {
  std::string known;
  for (const auto& [name, value] : table) {
    if (name == word) return value;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  fail(where, "\"" + printable(word, 40) + "\" is not one of " + known);
}

std::vector<target> parse_targets(const std::string& text) {
  std::vector<target> out;
  for (const std::string& word : split_list(text)) {
    const auto found = std::find_if(target_names.begin(), target_names.end(), [&](const auto& t) {
      return t.second.substr(t.second.find('.') + 1) == word + "_proj";
    });
    if (found == target_names.end())
      fail("--targets", "\"" + printable(word, 40) + "\" is not q, k, v, o, gate, up or down");
    if (std::find(out.begin(), out.end(), found->first) != out.end())
      fail("--targets", word + " is named twice");
    out.push_back(found->first);
  }
  std::sort(out.begin(), out.end());
  return out;
}

double number_in(const arguments& a, const std::string& name, double otherwise, double low,
                 double high) {
  const double x = a.number(name, otherwise);
  if (!(x >= low && x <= high))
    fail(arguments::flag(name), std::to_string(x) + " is not in [" + std::to_string(low) + ", " +
                                    std::to_string(high) + "]");
  return x;
}

std::vector<double> parse_rhos(const std::string& text) {
  std::vector<double> out;
  for (const std::string& word : split_list(text)) {
    double value = 0;
    const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (problem != std::errc() || end != word.data() + word.size() || !(value > 0 && value <= 1))
      fail("--rhos", "\"" + printable(word, 40) + "\" is not a number in (0, 1]");
    out.push_back(value);
  }
  return out;
}

void parse_lora(const arguments& a, adapter_setting& s) {
  const auto text = [&](const char* name, const char* otherwise) {
    return a.has(name) ? a.text(name) : std::string(otherwise);
  };
  s.targets = parse_targets(text("targets", "q,k,v,o,gate,up,down"));
  s.lora.rank = static_cast<rota::index_t>(a.count("rank", 16, 0, 4096));
  s.lora.alpha = number_in(a, "alpha", 16, 0, 1e6);
  s.lora.subspaces = static_cast<int>(a.count("subspaces", 1, 1, 256));
  s.lora.active = static_cast<int>(a.count("active", 1, 1, 256));
  if (s.lora.active > s.lora.subspaces)
    fail("--active", std::to_string(s.lora.active) + " of " + std::to_string(s.lora.subspaces) +
                         " subspaces cannot be active");
  if (s.lora.rank % s.lora.subspaces != 0)
    fail("--rank", std::to_string(s.lora.rank) + " is not a multiple of --subspaces " +
                       std::to_string(s.lora.subspaces));
  if (!knows_lora_form(s.lora))
    fail("--active", "this program routes 1 or 2 of 4, and 1, 2 or 4 of 8 subspaces");
  const std::string gate = text("gate", "softmax");
  if (gate != "softmax" && gate != "sigmoid") fail("--gate", "must be softmax or sigmoid");
  s.lora.gate = gate == "softmax" ? gate_kind::softmax : gate_kind::sigmoid;
}

constexpr std::array<std::pair<std::string_view, basis_kind>, 4> basis_names = {
    {{"identity", basis_kind::identity},
     {"hadamard", basis_kind::hadamard},
     {"random", basis_kind::random},
     {"pca", basis_kind::pca}}};

void parse_values(const arguments& a, adapt_options& o) {
  const auto text = [&](const char* name, const char* otherwise) {
    return a.has(name) ? a.text(name) : std::string(otherwise);
  };
  adapter_setting& s = o.setting;
  s.groups = choice(group_rule_names, text("groups", "adaptive_span"), "--groups");
  s.router = choice(router_form_names, text("router", "per_head"), "--router");
  s.fill = choice(fill_kind_names, text("fill", "low_rank"), "--fill");
  s.fill_rank = a.count("fill-rank", 8, 1, rota::max_code_rank);
  s.group_width = a.count("group-width", 8, 1, 4096);
  s.sinks = a.count("sinks", 4, 0, 1 << 20);
  s.window = a.count("window", 16, 0, 1 << 20);
  o.basis = choice(basis_names, text("basis", "identity"), "--basis");
  o.training.rhos = parse_rhos(text("rhos", "1,0.75,0.5,0.375,0.25,0.125"));
  if (s.groups == group_rule::all) o.training.rhos = {1};
}

}  // namespace

adapt_options parse_adapt_options(int argc, const char* const* argv) {
  const arguments a(
      argc, argv,
      {"model",     "out",       "text",  "targets",       "rank",          "alpha",
       "subspaces", "active",    "gate",  "balance",       "groups",        "router",
       "fill",      "fill-rank", "basis", "group-width",   "sinks",         "window",
       "rhos",      "prefix",    "state", "continuation",  "prefix-weight", "calibrate-at",
       "steps",     "batch",     "json",  "learning-rate", "router-rate",   "fill-rate",
       "warmup",    "clip",      "seed",  "weight-decay",  "threads",       "lora-router-rate"});
  adapt_options o;
  o.model = a.text("model");
  o.out = a.text("out");
  for (const auto& [name, to] :
       {std::pair("text", &o.text), {"state", &o.state}, {"json", &o.json}})
    if (a.has(name)) *to = a.text(name);
  parse_lora(a, o.setting);
  parse_values(a, o);
  o.lengths = {a.count("prefix", 192, 1, 1 << 20), a.count("continuation", 96, 1, 1 << 20)};
  o.spans.prefix = a.count("calibrate-at", 768, 1, 1 << 20);
  training_options& t = o.training;
  t.weights.prefix = number_in(a, "prefix-weight", 1, 0, 100);
  t.weights.balance = number_in(a, "balance", 0.01, 0, 100);
  t.steps = a.count("steps", 1000, 1, 10'000'000);
  t.batch = a.count("batch", 4, 1, 4096);
  t.learning_rate = number_in(a, "learning-rate", 3e-3, 0, 10);
  t.lora_router_rate = number_in(a, "lora-router-rate", 0.02, 0, 100);
  t.router_rate = number_in(a, "router-rate", 0.1, 0, 100);
  t.fill_rate = number_in(a, "fill-rate", 0.2, 0, 100);
  t.warmup = a.count("warmup", 20, 0, 1'000'000);
  t.clip = number_in(a, "clip", 1, 1e-6, 1e6);
  t.optimizer.weight_decay = number_in(a, "weight-decay", 0, 0, 1);
  t.seed = a.count("seed", 1, 0, UINT32_MAX);
  t.threads = static_cast<int>(a.count("threads", 2, 1, 256));
  if (o.setting.sinks + o.setting.window >= o.lengths.prefix && is_learned(o.setting.groups))
    fail("--prefix", "of " + std::to_string(o.lengths.prefix) +
                         " tokens leaves none beside the sinks and the window");
  return o;
}

}  // namespace rota_lm
