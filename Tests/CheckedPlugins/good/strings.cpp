// C++17: throws inside, and lets nothing out.
#include <cstring>
#include <exception>
#include <millrace/plugin.h>
#include <stdexcept>
#include <string>
#include <vector>

static std::string sorted(const millrace_call *call) {
  millrace_input input = {};
  input.size = sizeof input;
  if (call->host->input(call->attempt, 0, &input) != 0) throw std::invalid_argument("there is no input");
  std::string text(static_cast<const char *>(input.bytes), input.payload.length);
  if (text.empty()) throw std::invalid_argument("the input is empty");
  std::vector<size_t> counts(256);
  for (unsigned char byte : text) counts[byte]++;
  std::string result;
  for (size_t byte = 0; byte < counts.size(); byte++) result += std::to_string(counts[byte]) + "\n";
  return result;
}

static uint32_t run(void *, const millrace_call *call, millrace_outcome *outcome) noexcept {
  outcome->status = MILLRACE_FAILED;
  try {
    const std::string text = sorted(call);
    if (void *bytes = call->host->claim(call->attempt, text.size(), MILLRACE_TEXT, &outcome->output)) {
      std::memcpy(bytes, text.data(), text.size());
      outcome->status = MILLRACE_DONE;
    }
  } catch (const std::exception &error) {
    std::strncpy(outcome->error_type, "bad-input", sizeof outcome->error_type - 1);
    std::strncpy(outcome->message, error.what(), outcome->message_capacity - 1);
    outcome->message_length = static_cast<uint32_t>(std::strlen(outcome->message));
  }
  return outcome->status;
}

static const millrace_handler handler = {sizeof(millrace_handler), 0, "count", "Counts bytes", nullptr, nullptr, nullptr, 0, 0, run};
static const millrace_handler *const handlers[] = {&handler};
static const millrace_plugin plugin = {sizeof(millrace_plugin), MILLRACE_ABI_VERSION, "strings", "1.0.0", "For the checker's tests", nullptr,
                                       nullptr, nullptr, nullptr, handlers, 1, 0};

MILLRACE_MANIFEST();
extern "C" MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t version) {
  return version == MILLRACE_ABI_VERSION ? &plugin : nullptr;
}
