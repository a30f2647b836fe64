#include "fit/options.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "engine/command_line.hpp"
#include "engine/error.hpp"
#include "engine/name_option.hpp"
#include "fit/course.hpp"

namespace rota_lm {

namespace {

constexpr std::array<std::pair<std::string_view, synth::task>, 4> task_names = {
    {{"needle", synth::task::needle},
     {"vartrack", synth::task::vartrack},
     {"choice", synth::task::choice},
     {"text", synth::task::text}}};
constexpr std::array<std::pair<std::string_view, bool>, 2> protocol_names = {
    {{"seen", false}, {"unseen", true}}};
constexpr std::array<std::pair<std::string_view, slice_worth>, 2> worth_names = {
    {{"value_norm", slice_worth::value_norm}, {"wo_norm", slice_worth::wo_norm}}};

/// A task that is named twice is drawn twice as often.
std::vector<synth::task> read_tasks(const std::string& text) {
  std::vector<synth::task> out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    out.push_back(value_of_name(task_names, text.substr(at, comma - at), "--tasks"));
    at = comma + 1;
  }
  return out;
}

void declare_files(command_line& line, fit_options& o) {
  line.group("Files");
  line.text("model", o.model, "Folder of a checkpoint in the Hugging Face format");
  line.text("out", o.out, "File for the predictor");
  line.text("state", o.state, "Goes on from this file where it exists, and keeps it up to date");
  line.text("json", o.json, "File for the course of the losses");
  line.text("svg", o.svg, "File for a picture of it");
  line.require("model");
  line.require("out");
}

void declare_texts(command_line& line, fit_options& o) {
  line.group("Texts");
  line.text("text", o.text, "File to calibrate on");
  line.word(
      "tasks", "needle,vartrack,choice",
      [&](const std::string& text) { o.tasks = read_tasks(text); },
      "Of the generator, in turn, without --text: " + list_of_names(task_names));
  name_option(line, "protocol", protocol_names, o.unseen,
              "Whether a generated text is cut after its question or before");
  line.count("samples", o.samples, 10, 10'000'000, "Texts, a tenth of which is held out");
  line.count("context", o.lengths.context, 96, 1 << 20, "Tokens before the cut");
  line.count("horizon", o.lengths.horizon, 0, 4096, "Tokens after the cut, at most");
}

void declare_predictor(command_line& line, fit_options& o) {
  line.group("Predictor");
  line.count("split", o.setting.split, 0, 100'000, "Layer whose input it reads");
  line.count("rank", o.rank, 0, 4096, "0: query-blind");
  line.count("group-width", o.setting.group_width, 8, 256, "Elements of a value group");
  name_option(line, "target", worth_names, o.setting.worth,
              "Norms of slices as stored, or behind the output projection");
  line.count("window", o.setting.window, 1, 4096, "Last tokens, which ask");
  line.count("sinks", o.setting.sinks, 0, 4096, "First tokens, which are not ranked");
}

void declare_training(command_line& line, fit_options& o) {
  line.group("Training");
  line.count("steps", o.steps, 1, largest_step, "Of AdamW, at most");
  line.count("batch", o.batch, 1, 4096, "Samples a step");
  line.count("patience", o.patience, 1, 1'000'000, "Looks without a better loss before it stops");
  line.number("learning-rate", o.learning_rate, 0, 10, "At the start; falls to 0");
  line.count("seed", o.seed, 0, 1'000'000'000, "Of the texts and the start");
  line.count("threads", o.threads, 1, 256, "Samples at a time");
}

void check(const command_line& line, const fit_options& o) {
  if (line.given("text") && line.given("tasks")) fail("--text", "or --tasks, not both");
  if (line.given("text") && line.given("protocol"))
    fail("--protocol", "is about generated texts: give it or --text, not both");
  if (!(o.learning_rate > 0)) fail("--learning-rate", "must be above 0");
  if (o.lengths.context <= o.setting.window + o.setting.sinks)
    fail("--context", "must be more than sinks and window");
}

}  // namespace

fit_options parse_fit_options(int argc, const char* const* argv) {
  fit_options o;
  o.tasks = {synth::task::needle, synth::task::vartrack, synth::task::choice};
  command_line line("fit_predictor",
                    "Fits a predictor of relevance to a checkpoint, for tokens and value groups.");
  declare_files(line, o);
  declare_texts(line, o);
  declare_predictor(line, o);
  declare_training(line, o);
  line.parse(argc, argv);
  o.lengths.window = o.setting.window;
  check(line, o);
  return o;
}

}  // namespace rota_lm
