// generate_text --model DIR --prompt TEXT [...]: continues a text with a checkpoint in the Hugging
// Face format, through a compressed cache if asked. generate_text --help prints the arguments.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rota/core/fingerprint.hpp>
#include <rota/cpu/thread_pool.hpp>

#include "engine/adapted_model.hpp"
#include "engine/atomic_file.hpp"
#include "engine/cache_file.hpp"
#include "engine/command_line.hpp"
#include "engine/dense_cache.hpp"
#include "engine/error.hpp"
#include "engine/generate.hpp"
#include "engine/model.hpp"
#include "engine/model_tag.hpp"
#include "engine/packed_cache.hpp"
#include "engine/run_program.hpp"
#include "engine/sampler.hpp"
#include "engine/text_stream.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "evaluate/compressor.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/prefill.hpp"
#include "evaluate/program.hpp"

namespace {

using namespace rota_lm;

/// What the command line asks for.
struct request {
  std::string prompt, prompt_file, method_name, save, load;
  std::uint64_t count = 64;
  sampling draw;
  double budget = 1;
  bool compresses = false;
  int threads = 1;
  eval::options how;  ///< of the compression

  const eval::method& method() const { return how.methods.at(0); }
};

request parse(int argc, const char* const* argv) {
  request r;
  r.method_name = "expected_attention:keep_ratio+attention_mass:keep_ratio";
  command_line line("generate_text",
                    "Continues a text as it is, without a chat template, printing as it goes");
  line.text("model", r.how.model, "Folder of a checkpoint in the Hugging Face format");
  line.text("adapter", r.how.adapter, "Folder of a PEFT adapter, or that adapt wrote");
  line.any_text("prompt", r.prompt, "The text; after --load-cache what follows the saved one");
  line.text("prompt-file", r.prompt_file, "File that holds the text; - is standard input");
  line.group("Sampling");
  line.count("max-new-tokens", r.count, 0, 1 << 20, "Tokens to write at most");
  line.number("temperature", r.draw.temperature, 0, 1e6, "0 takes the likeliest token");
  line.count("top-k", r.draw.top_k, 0, 1 << 22, "Draws from so many tokens; 0: from all");
  line.number("top-p", r.draw.top_p, 0, 1, "Draws from the likeliest tokens of this probability");
  line.count("seed", r.draw.seed, 0, UINT64_MAX, "Of the draws");
  line.count("threads", r.threads, 1, 256, "For attention and compression");
  line.group("Compression");
  line.number("kv-budget", r.budget, 0, 1,
              "Where given, compresses the prompt's cache to this share of its dense bytes; the "
              "generation goes on from the packed store alone");
  line.number("rho", r.how.rho, 0, 1, "Share of the survivors' value groups that is kept");
  line.text("method", r.method_name, "SCORER:BUDGET[+SCORER:BUDGET[@RHO]], as in evaluate");
  line.text("predictor", r.how.predictor, "File of fit_predictor; --method may name it");
  line.group("Saved caches");
  line.text("save-cache", r.save, "File for the packed store");
  line.text("load-cache", r.load, "Goes on from a file of --save-cache");
  line.require("model");
  line.exclude("prompt", "prompt-file");
  line.exclude("save-cache", "load-cache");
  for (const char* option : {"rho", "method", "predictor", "save-cache", "load-cache"}) {
    line.need(option, "kv-budget");
  }
  line.parse(argc, argv);
  r.compresses = line.given("kv-budget");
  static_cast<void>(sampler(r.draw));  // refuses what does not go together
  if (!line.given("prompt") && r.prompt_file.empty() && r.load.empty()) {
    fail("--prompt", "is required, or --prompt-file");
  }
  r.how.methods = {eval::parse_method(r.method_name, {}, {}, {}, "--method")};
  const eval::method& m = r.method();
  if ((!m.tokens && !m.groups) || m.uses_oracle()) {
    fail("--method", "\"" + printable(m.name, 80) + "\" does not compress a prompt");
  }
  if (m.uses_predictor() == r.how.predictor.empty()) {
    fail("--predictor", "goes with a --method that names predictor, and only with such");
  }
  return r;
}

/// A whole text from a file or standard input.
std::string read_prompt(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    if (std::filesystem::is_directory(path)) fail("--prompt-file", path + ": is a folder");
    file.open(path, std::ios::binary);
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (!in || in.bad()) fail("--prompt-file", printable(path) + ": cannot be read");
  return text;
}

/// Who makes a cache: the fraction of tokens follows from the budget, which stands for it.
rota::saved_identity identity(const request& r, const model& lm, const eval::run_extras& extras) {
  const eval::method& m = r.method();
  rota::fingerprint f;
  f.add("generate_text").add(eval::describe(m.tokens)).add(eval::describe(m.groups));
  f.add(r.budget).add(m.rho.value_or(r.how.rho)).add(r.how.sinks).add(r.how.window);
  f.add(eval::name_of(eval::fill_names, r.how.stand_in));
  f.add(eval::group_width_of(r.how, lm.config().head_dim));
  if (extras.predictor) f.add(predictor_identity(*extras.predictor));
  return {f.value(), model_tag(lm)};
}

void check_length(const model& lm, std::size_t prompt, std::size_t count) {
  const std::size_t most = lm.config().max_positions;
  if (most != 0 && prompt + count > most) {
    fail("--max-new-tokens", std::to_string(prompt) + " tokens of prompt and " +
                                 std::to_string(count) + " new ones are more than the model's " +
                                 std::to_string(most) + " positions");
  }
}

/// Prints the prompt and what follows its tokens.
void continue_in(attention_cache& cache, const model& lm, const tokenizer& text, matrix logits,
                 std::string_view prompt, std::span<const token_id> ids, const request& r) {
  text_stream stream(text, ids);
  sampler draw(r.draw);
  std::cout << without_controls(prompt) << std::flush;
  generate(lm, cache, std::move(logits), draw, r.count, text.size(),
           [&](token_id id) { std::cout << without_controls(stream.push(id)) << std::flush; });
  std::cout << without_controls(stream.finish()) << std::endl;
}

/// Whether the prompt fits the budget, as the compressor's last selection. Throws, with the
/// smallest budget, where a larger one would do; false where no budget below 1 does.
bool fits(eval::compressor& compress, const request& r, std::size_t dense_bytes) {
  const auto all = static_cast<double>(dense_bytes);
  const auto bytes = static_cast<std::size_t>(r.budget * all);
  if (compress.fit(r.method(), r.how.rho, bytes)) return true;
  const auto least = compress.least_bytes(r.method(), r.how.rho);
  if (!least || *least >= dense_bytes) return false;
  char number[32];
  std::snprintf(number, sizeof number, "%.4f",
                std::ceil(1e4 * static_cast<double>(*least) / all) / 1e4);
  fail("--kv-budget", "the smallest for this prompt is " + std::string(number) + ": its first " +
                          std::to_string(r.how.sinks) + " and last " +
                          std::to_string(r.how.window) + " tokens are kept whole");
}

/// From a text: prefill, compress where asked to, save where there is a file.
void run_prompt(const model& lm, const tokenizer& text, const rota::cpu::backend& backend,
                const request& r, const eval::run_extras& extras,
                std::optional<atomic_file>& file) {
  eval::prepared sample;
  sample.prefill = text.encode(r.prompt);
  sample.new_tokens = r.count;
  sample.wants_logits = true;
  if (sample.prefill.empty()) fail("--prompt", "has no tokens");
  check_length(lm, sample.prefill.size(), r.count);
  eval::counting_memory memory;
  auto prefill =
      std::make_unique<eval::prefilled>(lm, sample, r.how, memory, extras.shared(), backend);
  matrix logits = prefill->logits();
  const std::size_t dense_bytes = prefill->dense().used_bytes();
  std::optional<eval::compressor> compress;
  if (r.compresses) compress.emplace(prefill->make_compressor(r.how));
  if (!compress || !fits(*compress, r, dense_bytes)) {
    const std::string why = "a prompt of " + std::to_string(sample.prefill.size()) +
                            " token(s) is too short to compress: its first " +
                            std::to_string(r.how.sinks) + " and last " +
                            std::to_string(r.how.window) + " are kept whole";
    if (file) fail("--save-cache", why);
    if (compress) std::cerr << "generate_text: " << why << "; going on with the whole cache\n";
    continue_in(prefill->dense(), lm, text, std::move(logits), r.prompt, sample.prefill, r);
    return;
  }
  packed_cache packed(lm.config(), backend, &memory.packed);
  compress->pack(sample.room(), packed);
  compress.reset();
  prefill.reset();  // from here on there is only what was kept
  std::cerr << "kept " << packed.sealed_bytes() << " of " << dense_bytes
            << " bytes of keys and values\n";
  if (file) {
    const auto row = values(std::as_const(logits));
    save_cache(*file, packed, identity(r, lm, extras),
               {r.prompt, std::vector<float>(row.begin(), row.end())});
    file->commit();
  }
  continue_in(packed, lm, text, std::move(logits), r.prompt, sample.prefill, r);
}

/// From a file of another process, and the text that follows its prompt, if there is one.
void run_saved(const model& lm, const tokenizer& text, const rota::cpu::backend& backend,
               const request& r, const eval::run_extras& extras) {
  const std::vector<token_id> ids = text.encode(r.prompt, false);
  packed_cache packed(lm.config(), backend);
  const saved_prompt saved =
      load_cache(r.load, identity(r, lm, extras), ids.size() + r.count, packed);
  check_length(lm, packed.next_position() + ids.size(), r.count);
  if (saved.logits.size() != lm.config().vocab_size) {
    fail(r.load, "has not one logit for each word of the model");
  }
  matrix logits = Eigen::Map<const row_vector>(saved.logits.data(),
                                               static_cast<Eigen::Index>(saved.logits.size()));
  if (!ids.empty()) logits = lm.forward(ids, packed);
  std::vector<token_id> all = text.encode(saved.text);
  all.insert(all.end(), ids.begin(), ids.end());
  continue_in(packed, lm, text, std::move(logits), saved.text + r.prompt, all, r);
}

void run(request r) {
  std::optional<atomic_file> file;  // before the work: a file that cannot be is refused
  if (!r.save.empty()) file.emplace(r.save);
  if (!r.prompt_file.empty()) r.prompt = read_prompt(r.prompt_file);
  const tokenizer text = tokenizer::load(r.how.model);
  const adapted_model adapted = r.how.adapter.empty() ? adapted_model{model::load(r.how.model), {}}
                                                      : load_adapted(r.how.model, r.how.adapter);
  const model& lm = adapted.lm;
  const std::size_t head_dim = lm.config().head_dim;
  if (r.compresses) eval::check_group_width(head_dim, eval::group_width_of(r.how, head_dim));
  if (!r.compresses) r.how.methods.clear();  // no scorer asks for anything
  const eval::run_extras extras = eval::find_extras(r.how, lm);
  rota::cpu::thread_pool pool(r.threads);
  if (!r.load.empty()) {
    run_saved(lm, text, pool.get_backend(), r, extras);
  } else {
    run_prompt(lm, text, pool.get_backend(), r, extras, file);
  }
  if (!std::cout) fail("standard output", "cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("generate_text", [&] { run(parse(argc, argv)); });
}
