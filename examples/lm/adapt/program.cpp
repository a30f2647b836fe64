#include "adapt/program.hpp"

#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include <rota/core/fingerprint.hpp>
#include <rota/core/types.hpp>

#include "adapt/course.hpp"
#include "engine/adapter_file.hpp"
#include "engine/atomic_file.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/model_tag.hpp"
#include "engine/text_file.hpp"

namespace rota_lm {

namespace {

/// Places for results, tried before the work whose result they take.
void check_outputs(const adapt_options& o) {
  std::error_code problem;
  std::filesystem::create_directories(o.out, problem);
  if (problem) fail(o.out, "cannot be made a folder for --out: " + problem.message());
  for (const char* name :
       {"/value_routing.safetensors", "/adapter_model.safetensors", "/adapter_config.json"})
    const atomic_file tried(o.out + name, readers::as_usual);
  if (!o.state.empty()) const atomic_file tried(o.state, readers::as_usual);
  if (!o.json.empty()) check_writable(o.json);
}

void check_groups(const adapt_options& o, const model_config& c) {
  if (c.head_dim % o.setting.group_width != 0 || o.setting.groups_of(c) > rota::max_groups)
    fail("--group-width",
         "does not cut heads of " + std::to_string(c.head_dim) + " into 1 to 16 groups");
  if (o.setting.fill_rank > c.head_dim)
    fail("--fill-rank",
         "of " + std::to_string(o.setting.fill_rank) +
             " is more than the model's heads have dimensions: " + std::to_string(c.head_dim));
}

void check_positions(const adapt_options& o, const model_config& c) {
  if (c.max_positions == 0) return;
  const auto check = [&](const char* name, const char* of, std::size_t tokens) {
    if (tokens > c.max_positions)
      fail(name, std::string("makes ") + of + " of " + std::to_string(tokens) +
                     " tokens, the model has " + std::to_string(c.max_positions) +
                     " positions: take less");
  };
  check("--prefix", "sequences (with --continuation)", o.lengths.all());
  if (is_calibrated(o.setting.groups)) check("--calibrate-at", "texts", o.spans.all());
}

/// Everything that can be refused before the model's weights are read.
const adapt_options& checked(const adapt_options& o) {
  const model_config c = load_config(o.model);
  check_groups(o, c);
  check_positions(o, c);
  check_outputs(o);
  return o;
}

}  // namespace

adaptation::adaptation(const adapt_options& o)
    : options_(checked(o)),
      text_(tokenizer::load(o.model)),
      texts_(o, text_),
      base_(prepare_base(o, texts_)),
      layout_(base_.lm->config(), o.setting),
      fixed_(order_by_energy(base_.moments, o.setting.group_width)),
      trainer_(*base_.lm, layout_, fixed_, o.training,
               [this](std::size_t number) { return texts_.training(number, options_.lengths); }) {
  trainer_.start(initial_parameters<float>(layout_, base_.moments, o.training.seed));
}

std::string adaptation::name() const {
  return describe_run(options_, model_identity(*base_.lm));
}

void adaptation::run(std::ostream& out) {
  const training_course course = train(options_, name(), trainer_, out);
  values_ = routing_of(options_, layout_, fixed_, base_.basis, trainer_.state().parameters);
  const model_config& c = base_.lm->config();
  values_.routing.thresholds =
      calibrate_spans(options_, trainer_, texts_, options_.setting.groups_of(c));
  values_.run = run_number();
  values_.adapted = layout_.setting().lora.rank > 0;
  save_value_routing(values_, c, options_.out + "/value_routing.safetensors");
  if (values_.adapted)
    save_adapters(adapters_of(layout_, base_.basis, trainer_.state().parameters), options_.model,
                  options_.out, values_.run);
  else
    remove_adapters(options_.out);  // of an earlier run
  if (!options_.json.empty()) write_file(options_.json, course_json(course, name()));
}

/// What tells the files of this run from those of others.
std::string adaptation::run_number() const {
  rota::fingerprint f;
  f.add(name());
  for (const float x : trainer_.state().parameters) f.add(x);
  return hexadecimal(f.value());
}

double adaptation::masked_loss(std::span<const token_id> ids, std::size_t first, double rho) const {
  const double after =
      masked_sum(ids, first - 1, rho) - masked_sum(ids.first(first), first - 1, rho);
  return after / static_cast<double>(ids.size() - first);
}

/// The sum of the losses of all that comes after the prefix.
double adaptation::masked_sum(std::span<const token_id> ids, std::size_t prefix, double rho) const {
  training_sequence<float> s{ids, prefix, {rho, 0}};
  for (const span_threshold& t : values_.routing.thresholds)
    if (std::abs(t.rho - rho) < 1e-6)
      s.budget.threshold =
          options_.setting.groups == group_rule::entropy_span ? -t.threshold : t.threshold;
  return trainer_.model_of().run(trainer_.state().parameters, s, {}, 0, {}).continuation;
}

void adapt(const adapt_options& o, std::ostream& out) {
  adaptation a(o);
  a.run(out);
  out << o.out << ": " << a.layout().size() << " numbers trained\n";
  if (!out.flush()) fail("the table", "cannot be written");
}

}  // namespace rota_lm
