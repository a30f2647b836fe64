#include "fit/options.hpp"

#include <algorithm>

#include "engine/arguments.hpp"
#include "engine/error.hpp"
#include "fit/course.hpp"

namespace rota_lm {

constexpr std::string_view fit_usage =
    "fit_predictor --model DIR --out FILE\n"
    "  [--text FILE | --tasks needle,vartrack,choice,text --protocol seen|unseen]\n"
    "  [--target value_norm|wo_norm: slices as stored, or behind the output projection]\n"
    "  [--split 1] [--rank 32, 0: query-blind] [--group-width 16] [--samples 1500]\n"
    "  [--context 1024] [--horizon 8] [--window 16] [--sinks 4] [--steps 4000] [--batch 6]\n"
    "  [--patience 10] [--learning-rate 0.002] [--seed 1] [--threads 2]\n"
    "  [--state FILE: goes on from there where it exists, and keeps it up to date]\n"
    "  [--json FILE] [--svg FILE: the course of the losses]\n";

namespace {

std::vector<synth::task> parse_fit_tasks(const std::string& text) {
  std::vector<synth::task> out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string name = text.substr(at, comma - at);
    if (name == "needle") {
      out.push_back(synth::task::needle);
    } else if (name == "vartrack") {
      out.push_back(synth::task::vartrack);
    } else if (name == "choice") {
      out.push_back(synth::task::choice);
    } else if (name == "text") {
      out.push_back(synth::task::text);
    } else {
      fail("--tasks", "\"" + printable(name, 40) + "\" is not needle, vartrack, choice or text");
    }
    at = comma + 1;
  }
  return out;
}

}  // namespace

fit_options parse_fit_options(int argc, const char* const* argv) {
  const arguments given(
      argc, argv, {"model",       "out",      "text",     "tasks",         "split",  "rank",
                   "group-width", "samples",  "context",  "horizon",       "window", "sinks",
                   "steps",       "batch",    "patience", "learning-rate", "seed",   "threads",
                   "state",       "protocol", "target",   "json",          "svg"});
  fit_options o;
  o.model = given.text("model");
  o.out = given.text("out");
  if (given.has("state")) o.state = given.text("state");
  if (given.has("json")) o.json = given.text("json");
  if (given.has("svg")) o.svg = given.text("svg");
  if (given.has("text") && given.has("tasks")) fail("--text", "or --tasks, not both");
  if (given.has("text")) o.text = given.text("text");
  o.tasks = parse_fit_tasks(given.has("tasks") ? given.text("tasks") : "needle,vartrack,choice");
  if (given.has("protocol")) {
    const std::string& when = given.text("protocol");
    if (when != "seen" && when != "unseen") {
      fail("--protocol", "\"" + printable(when, 40) + "\" is not seen or unseen");
    }
    o.unseen = when == "unseen";
  }
  if (given.has("target")) {
    const std::string& worth = given.text("target");
    if (worth != "value_norm" && worth != "wo_norm") {
      fail("--target", "\"" + printable(worth, 40) + "\" is not value_norm or wo_norm");
    }
    if (worth == "wo_norm") o.setting.worth = slice_worth::wo_norm;
  }
  o.setting.split = given.count("split", o.setting.split, 0, 100'000);
  o.setting.group_width = given.count("group-width", o.setting.group_width, 8, 256);
  o.setting.window = o.lengths.window = given.count("window", 16, 1, 4096);
  o.setting.sinks = given.count("sinks", o.setting.sinks, 0, 4096);
  o.lengths.context = given.count("context", o.lengths.context, 96, 1 << 20);
  o.lengths.horizon = given.count("horizon", o.lengths.horizon, 0, 4096);
  o.samples = given.count("samples", o.samples, 10, 10'000'000);
  o.rank = given.count("rank", o.rank, 0, 4096);
  o.steps = given.count("steps", o.steps, 1, largest_step);
  o.batch = given.count("batch", o.batch, 1, 4096);
  o.patience = given.count("patience", o.patience, 1, 1'000'000);
  o.learning_rate = given.number("learning-rate", o.learning_rate);
  if (!(o.learning_rate > 0)) fail("--learning-rate", "must be above 0");
  o.seed = given.count("seed", o.seed, 0, 1'000'000'000);
  o.threads = static_cast<int>(given.count("threads", 2, 1, 256));
  if (o.lengths.context <= o.setting.window + o.setting.sinks) {
    fail("--context", "must be more than sinks and window");
  }
  return o;
}

}  // namespace rota_lm
