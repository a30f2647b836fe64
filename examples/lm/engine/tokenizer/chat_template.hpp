// What a chat model expects around a message: the four families of chat templates.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rota_lm {

/// A chat template of one of four families: ChatML (Qwen2, Qwen3, SmolLM2), Llama 2, Llama 3 (with
/// and without the dates of 3.1) and Mistral. Templates are programs in Jinja, of which none is
/// run: the family is recognised by the strings in the program, and what differs inside a family
/// (spaces, a system message of its own) is read from them.
class chat_template {
 public:
  /// Reads chat_template.jinja in folder `directory`, or the "chat_template" of its
  /// tokenizer_config.json. Throws when there is none, or none of a known family; the sentence
  /// says to ask for --raw.
  static chat_template load(const std::string& directory);

  /// From the program itself. `bos` is the text of the token that begins a text; `where` names the
  /// program in errors.
  chat_template(const std::string& source, std::string bos, const std::string& where);

  /// The prompt for an answer to `user`, as transformers' apply_chat_template with
  /// add_generation_prompt makes it. It holds the special tokens already: encode it with `framed`
  /// false. Throws on a system message when the template has no place for one.
  std::string format(std::string_view user, std::optional<std::string_view> system = {}) const;

 private:
  enum class family { chatml, llama2, llama3, mistral };

  std::string chatml(std::string_view user, std::optional<std::string_view> system) const;
  std::string llama3(std::string_view user, std::optional<std::string_view> system) const;
  std::string instruction(std::string_view user, std::optional<std::string_view> system) const;

  std::string where_;
  family family_ = family::chatml;
  std::string bos_;                    // empty when the template does not write it
  std::string before_, after_;         // an instruction, in the two families that have [INST]
  std::string assistant_;              // begins an answer
  std::optional<std::string> system_;  // ChatML: the message that stands in for none
  std::optional<std::string> knowledge_date_;  // Llama 3.1: a line of the system message
  std::optional<std::string> today_;  // Llama 3.1: the date there, when it is not that of the day
  bool takes_system_ = true;
  bool trims_ = false;
};

}  // namespace rota_lm
