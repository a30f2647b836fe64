#include "evaluate/task_list.hpp"

#include <string>
#include <utility>

#include "evaluate/formats/mmlu.hpp"
#include "evaluate/formats/ruler.hpp"
#include "evaluate/formats/text_windows.hpp"

namespace rota_lm::eval {

std::vector<task> make_tasks(const options& o, const model_config& config, const tokenizer& text) {
  std::vector<task> out;
  const auto add = [&](task t) {
    for (const task& known : out) {
      if (known.name == t.name)
        fail("--tasks", "two tasks are named \"" + printable(t.name) + "\"");
    }
    out.push_back(std::move(t));
  };
  for (const synth::task kind : o.tasks) add(synthetic_task(kind, o, config, text));
  if (!o.files.text.empty()) add(text_task(o.files.text, o.files.stride, o, config, text));
  if (!o.files.mmlu.empty()) add(mmlu_task(o.files.mmlu, o.files.shots, o, config, text));
  for (const std::string& path : o.files.ruler) {
    add(ruler_task(path, o.files.new_tokens, o, config, text));
  }
  return out;
}

}  // namespace rota_lm::eval
