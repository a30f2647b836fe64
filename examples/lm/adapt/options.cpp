#include "adapt/options.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include <rota/core/record.hpp>

#include "engine/adapters.hpp"
#include "engine/command_line.hpp"
#include "engine/error.hpp"
#include "engine/name_option.hpp"
#include "engine/value_routing_file.hpp"

namespace rota_lm {

namespace {

constexpr std::array<std::pair<std::string_view, basis_kind>, 4> basis_names = {
    {{"identity", basis_kind::identity},
     {"hadamard", basis_kind::hadamard},
     {"random", basis_kind::random},
     {"pca", basis_kind::pca}}};
constexpr std::array<std::pair<std::string_view, rota::train::gate_kind>, 2> gate_names = {
    {{"softmax", rota::train::gate_kind::softmax}, {"sigmoid", rota::train::gate_kind::sigmoid}}};

/// What is not in adapt_options as the command line has it.
struct raw_values {
  std::vector<std::string> targets = {"q", "k", "v", "o", "gate", "up", "down"};
  std::uint64_t rank = 16;
};

adapt_options defaults() {
  adapt_options o;
  o.setting.lora.alpha = 16;
  training_options& t = o.training;
  t.steps = 1000;
  t.learning_rate = 3e-3;
  t.lora_router_rate = 0.02;
  t.router_rate = 0.1;
  t.fill_rate = 0.2;
  t.rhos = {1, 0.75, 0.5, 0.375, 0.25, 0.125};
  return o;
}

void declare_files(command_line& line, adapt_options& o) {
  line.group("Files");
  line.text("model", o.model, "Folder of a checkpoint in the Hugging Face format");
  line.text("out", o.out, "Folder for the adapters and the value routing");
  line.text("text", o.text, "File to train on; without it the generator's market");
  line.text("state", o.state, "Goes on from this file where it exists, and keeps it up to date");
  line.text("json", o.json, "File for the course of the losses");
  line.require("model");
  line.require("out");
}

void declare_lora(command_line& line, raw_values& raw, adapter_setting& s) {
  line.group("Adapters");
  line.texts("targets", raw.targets, "Projections that get one");
  line.count("rank", raw.rank, 0, 4096, "0: none");
  line.number("alpha", s.lora.alpha, 0, 1e6, "Scale, divided by the rank");
  line.count("subspaces", s.lora.subspaces, 1, 256, "Parts of the rank to route among; 1: plain");
  line.count("active", s.lora.active, 1, 256, "Subspaces that a token uses");
  name_option(line, "gate", gate_names, s.lora.gate, "Weights of the active subspaces");
}

void declare_values(command_line& line, adapt_options& o) {
  adapter_setting& s = o.setting;
  line.group("Value groups");
  name_option(line, "groups", group_rule_names, s.groups, "Who picks what is kept");
  name_option(line, "router", router_form_names, s.router, "Outputs of a learned choice");
  line.count("group-width", s.group_width, 1, 4096, "Elements of a group: 8 or 16");
  line.count("sinks", s.sinks, 0, 1 << 20, "First tokens that are kept whole");
  line.count("window", s.window, 0, 1 << 20, "Last tokens of the prefix that are kept whole");
  name_option(line, "fill", fill_kind_names, s.fill, "What stands in for dropped groups");
  line.count("fill-rank", s.fill_rank, 1, rota::max_code_rank, "Of low_rank: 4, 8 or 16");
  name_option(line, "basis", basis_names, o.basis, "Coordinates that values are cut in");
  line.numbers("rhos", o.training.rhos, 0, 1, "Shares that are kept; each sequence has one");
}

void declare_sequences(command_line& line, adapt_options& o) {
  line.group("Sequences");
  line.count("prefix", o.lengths.prefix, 1, 1 << 20, "Tokens that are routed");
  line.count("continuation", o.lengths.continuation, 1, 1 << 20, "Tokens that read them");
  line.count("calibrate-at", o.spans.prefix, 1, 1 << 20, "Tokens of texts that set thresholds");
  line.number("prefix-weight", o.training.weights.prefix, 0, 100, "Of the prefix's own loss");
  line.number("balance", o.training.weights.balance, 0, 100, "Of even use of the subspaces");
}

void declare_training(command_line& line, training_options& t) {
  line.group("Training");
  line.count("steps", t.steps, 1, 10'000'000, "Of AdamW");
  line.count("batch", t.batch, 1, 4096, "Sequences a step");
  line.number("learning-rate", t.learning_rate, 0, 10, "Largest, of the adapters");
  line.number("lora-router-rate", t.lora_router_rate, 0, 100, "Times it: of their routers");
  line.number("router-rate", t.router_rate, 0, 100, "Times it: of the value routers");
  line.number("fill-rate", t.fill_rate, 0, 100, "Times it: of the low-rank fill");
  line.count("warmup", t.warmup, 0, 1'000'000, "Steps up to the largest rate");
  line.number("clip", t.clip, 1e-6, 1e6, "Largest norm of a step's gradient");
  line.number("weight-decay", t.optimizer.weight_decay, 0, 1, "Of AdamW");
  line.count("seed", t.seed, 0, UINT32_MAX, "Of the start, the texts and the shares");
  line.count("threads", t.threads, 1, 256, "Sequences at a time");
}

std::vector<target> read_targets(const std::vector<std::string>& words) {
  std::vector<target> out;
  for (const std::string& word : words) {
    const auto found = std::find_if(target_names.begin(), target_names.end(), [&](const auto& t) {
      return t.second.substr(t.second.find('.') + 1) == word + "_proj";
    });
    if (found == target_names.end())
      fail("--targets", "\"" + printable(word, 40) + "\" is not q, k, v, o, gate, up or down");
    out.push_back(found->first);
  }
  std::sort(out.begin(), out.end());
  return out;
}

void read_lora(const raw_values& raw, adapter_setting& s) {
  s.targets = read_targets(raw.targets);
  s.lora.rank = static_cast<rota::index_t>(raw.rank);
  if (s.lora.active > s.lora.subspaces)
    fail("--active", std::to_string(s.lora.active) + " of " + std::to_string(s.lora.subspaces) +
                         " subspaces cannot be active");
  if (s.lora.rank % s.lora.subspaces != 0)
    fail("--rank", std::to_string(s.lora.rank) + " is not a multiple of --subspaces " +
                       std::to_string(s.lora.subspaces));
  if (!knows_lora_form(s.lora))
    fail("--active", "this program routes 1 or 2 of 4, and 1, 2 or 4 of 8 subspaces");
}

/// Refuses what would be silently without effect.
void check_effects(const command_line& line, const adapt_options& o) {
  const adapter_setting& s = o.setting;
  const auto useless = [&](const char* name, bool effective, const char* needed) {
    if (line.given(name) && !effective)
      fail(std::string("--") + name, std::string("has no effect without ") + needed);
  };
  useless("gate", s.lora.routed(), "--subspaces of more than 1");
  useless("balance", s.lora.routed(), "--subspaces of more than 1");
  useless("rhos", s.groups != group_rule::all, "a rule that drops groups: see --groups");
  useless("router", is_learned(s.groups), "a learned rule: see --groups");
  useless("fill-rank", s.fill == fill_kind::low_rank, "--fill low_rank");
}

template <class Range>
bool is_among(const Range& known, std::size_t x) {
  return std::find(known.begin(), known.end(), x) != known.end();
}

void check(const command_line& line, adapt_options& o) {
  check_effects(line, o);
  for (const double rho : o.training.rhos)
    if (!(rho > 0)) fail("--rhos", "a share of 0 keeps nothing: give shares in (0, 1]");
  const adapter_setting& s = o.setting;
  if (s.groups == group_rule::all) o.training.rhos = {1};
  const bool drops = s.groups != group_rule::all;
  if (drops && !is_among(packed_widths, s.group_width))
    fail("--group-width", std::to_string(s.group_width) + " cannot be packed: take 8 or 16");
  if (drops && s.fill == fill_kind::low_rank && !is_among(packed_ranks, s.fill_rank))
    fail("--fill-rank", std::to_string(s.fill_rank) + " cannot be packed: take 4, 8 or 16");
  if (s.sinks + s.window >= o.lengths.prefix && is_learned(s.groups))
    fail("--prefix", "of " + std::to_string(o.lengths.prefix) +
                         " tokens leaves none beside the sinks and the window");
}

}  // namespace

adapt_options parse_adapt_options(int argc, const char* const* argv) {
  adapt_options o = defaults();
  raw_values raw;
  command_line line("adapt",
                    "Adapts a checkpoint to a domain and to budgets of value groups: adapters, "
                    "routers and fills are trained together.");
  declare_files(line, o);
  declare_lora(line, raw, o.setting);
  declare_values(line, o);
  declare_sequences(line, o);
  declare_training(line, o.training);
  line.parse(argc, argv);
  read_lora(raw, o.setting);
  check(line, o);
  return o;
}

}  // namespace rota_lm
