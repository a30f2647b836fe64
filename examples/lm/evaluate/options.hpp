// The command line of evaluate.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/command_line.hpp"
#include "evaluate/method.hpp"
#include "generator.hpp"

namespace rota_lm::eval {

/// Whether the question is there when the cache is compressed. Two different problems, never mixed.
enum class protocol { seen, unseen };
inline constexpr std::array protocol_names{named<protocol>{"seen", protocol::seen},
                                           named<protocol>{"unseen", protocol::unseen}};
inline constexpr std::array switch_names{named<bool>{"on", true}, named<bool>{"off", false}};
inline constexpr std::array task_names{named<synth::task>{"perplexity", synth::task::text},
                                       named<synth::task>{"needle", synth::task::needle},
                                       named<synth::task>{"vartrack", synth::task::vartrack},
                                       named<synth::task>{"choice", synth::task::choice},
                                       named<synth::task>{"market", synth::task::market}};

/// Tasks that lie in files, in the forms that others use; see evaluate/formats.
struct task_files {
  std::string text;                ///< raw text; empty: none
  std::size_t stride = 256;        ///< tokens scored a window
  std::string mmlu;                ///< folder; empty: none
  std::size_t shots = 5;           ///< solved examples before a question
  std::vector<std::string> ruler;  ///< JSON lines
  std::size_t new_tokens = 64;     ///< written where a sample does not say how many

  bool any() const { return !text.empty() || !mmlu.empty() || !ruler.empty(); }
};

struct options {
  std::string model;
  std::vector<synth::task> tasks;  ///< synthetic ones
  task_files files;
  std::vector<method> methods;
  // Chosen on rota-synth: of the stock scorers these lose least at equal bytes, and the best k of
  // each token less than the best pairs of each head. A scorer that knows the question
  // (attention_mass, question seen) keeps the first token of an answer and drops the next: what
  // the window looks at is not yet what the answer will look at.
  token_choice tokens;
  group_choice groups;
  /// Where every token survives, the groups must be solved from bytes, and k is too coarse.
  group_choice every_token_groups{group_scorer::value_norm, budget::keep_ratio};
  std::string predictor;  ///< file of fit_predictor; empty: none
  std::string adapter;    ///< folder of adapt; empty: none
  /// Of the layers up to the predictor's split.
  fallback_choice fallback;
  std::vector<double> budgets{0.75, 0.5, 0.375, 0.25};
  std::vector<double> every_token_budgets{0.75, 0.5625};
  std::vector<double> rhos{1,     0.75, 0.5,
                           0.375, 0.25, 0.125};  ///< of an adapted model's own routing
  double rho = 0.5;
  fill stand_in = fill::mean;
  int group_width = 0;  ///< 0: 16, or 8 where heads are narrower than 64
  std::size_t samples = 200;
  std::uint64_t seed = 1;
  std::size_t context = 1024;  ///< tokens, of the tasks that are not cut by their files
  bool context_given = false;  ///< else for_model() may choose less
  std::size_t sinks = 4;
  std::size_t window = 16;
  /// Unseen: none of the default selectors knows the question, so to see it changes little more
  /// than which tokens are protected; and one compressed context then serves every question.
  protocol when = protocol::unseen;
  int threads = 2;
  std::string json;  ///< file; empty: none
  std::string out;   ///< folder for results.json and the pictures; empty: none
  bool timing = true;
  bool demo = false;

  /// Whether a task asks for contexts of `context` tokens: the others are as long as their files
  /// have them.
  bool cuts_contexts() const { return !tasks.empty() || !files.text.empty(); }
};

/// The options of evaluate on a command line. diagnose and needle_grid share them.
class option_reader {
 public:
  /// Which options a program takes: needle_grid makes its own tasks.
  enum class tasks { by_name, none };

  /// Declares them. `line` must outlive this.
  explicit option_reader(command_line& line, tasks which = tasks::by_name);
  option_reader(const option_reader&) = delete;  // the line refers to the members
  option_reader& operator=(const option_reader&) = delete;

  /// After line.parse(): what depends on several options. Throws rota_lm::error on methods that are
  /// not known and on options that no method or task of this run reads.
  options read();

 private:
  void declare_tasks();
  void declare_methods();
  void declare_protocol();
  void read_tasks();
  void read_methods();
  void fill_in_demo();
  void refuse_unused() const;
  bool any_method(bool (*asks)(const method&)) const;

  command_line& line_;
  options options_;
  std::vector<std::string> task_names_, method_names_;
  std::string fallback_;
};

/// Parses the command line of `program`. Throws as command_line::parse() and option_reader::read().
/// The demo is the defaults on the repository's own checkpoint, with everything written to a
/// folder.
options parse_options(int argc, const char* const* argv, const std::string& program = "evaluate");

/// The options for a model: a context that was not asked for shrinks to half of what the model has
/// positions for, where it has no more than that context.
options for_model(options o, std::size_t max_positions);

/// The group width that is used: half the default where heads are narrow, so that there is
/// something to choose from, or cannot be cut otherwise.
int group_width_of(const options& o, std::size_t head_dim);

/// Refuses heads that a packed store cannot cut into at most 16 groups of this width.
void check_group_width(std::size_t head_dim, int width);

}  // namespace rota_lm::eval
