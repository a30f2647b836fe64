#include "fit/program.hpp"

#include <string>

#include <rota/cpu/thread_pool.hpp>
#include <rota/cpu/train/predictor_fitter.hpp>

#include "engine/atomic_file.hpp"
#include "engine/error.hpp"
#include "engine/model.hpp"
#include "engine/model_tag.hpp"
#include "engine/predictor_file.hpp"
#include "engine/text_file.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "fit/course.hpp"
#include "fit/run.hpp"
#include "fit/samples.hpp"

namespace rota_lm {

namespace {

rota::cpu::predictor_fit_options fitter_options(const fit_options& o) {
  rota::cpu::predictor_fit_options f;
  f.optimizer.learning_rate = o.learning_rate;
  f.batch = static_cast<rota::index_t>(o.batch);
  f.max_steps = static_cast<rota::index_t>(o.steps);
  f.patience = static_cast<rota::index_t>(o.patience);
  f.seed = o.seed;
  return f;
}

/// Places for results, tried before the work whose result they take.
void check_outputs(const fit_options& o) {
  for (const std::string& path : {o.out, o.state}) {
    if (!path.empty()) const atomic_file tried(path, readers::as_usual);
  }
  if (!o.json.empty()) check_writable(o.json);
  if (!o.svg.empty()) check_writable(o.svg);
}

}  // namespace

void fit_predictor(const fit_options& o, std::ostream& out) {
  check_outputs(o);
  const model lm = model::load(o.model);
  const tokenizer text = tokenizer::load(o.model);
  const std::string identity = model_identity(lm);
  const std::size_t d = lm.config().head_dim;
  if (d % o.setting.group_width != 0 || d / o.setting.group_width > rota::max_groups) {
    fail("--group-width", "does not cut heads of " + std::to_string(d) + " into 1 to 16 groups");
  }
  const calibrator from(lm, o.setting);
  const calibration_set samples = gather_samples(o, lm, text, from);
  rota::train::predictor_shape shape = from.shape();
  shape.rank = static_cast<rota::index_t>(o.rank);
  rota::cpu::thread_pool pool(o.threads);
  const std::string run = describe_run(o, identity);
  rota::cpu::predictor_fitter fitter(shape, fitter_options(o), samples.training, samples.held_out,
                                     pool.get_backend());
  const fit_course course = run_fit(o, run, fitter, out);

  fitted_predictor p;
  p.shape = shape;
  p.split = o.setting.split;
  p.group_width = o.setting.group_width;
  p.window = o.setting.window;
  p.model = identity;
  p.parameters = fitter.result();
  p.notes = {{"run", run},
             {"steps", std::to_string(fitter.state().step)},
             {"held_out_loss", std::to_string(fitter.state().best_loss)}};
  save_predictor(p, o.out);
  if (!o.json.empty()) write_file(o.json, fit_json(course, run));
  if (!o.svg.empty()) write_file(o.svg, fit_svg(course));
  out << o.out << ": " << shape.parameters() << " weights, held-out loss "
      << fitter.state().best_loss << '\n';
  if (!out.flush()) fail("the table", "cannot be written");
}

}  // namespace rota_lm
