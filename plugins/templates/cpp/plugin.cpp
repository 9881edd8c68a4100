#include <millrace/plugin.h>

#include <cstring>
#include <exception>
#include <string>
#include <string_view>

// Nothing is thrown out of a function that the host calls. Called on many threads at once.
static std::string counted(const millrace_call *call) {
  millrace_input input = {};
  input.size = sizeof input;
  std::string_view text;
  if (call->host->input(call->attempt, 0, &input) == 0) text = {static_cast<const char *>(input.bytes), input.payload.length};
  size_t words = 0;
  for (size_t at = text.find_first_not_of(" \t\n\r"); at != text.npos; at = text.find_first_not_of(" \t\n\r", at)) {
    words++;
    at = text.find_first_of(" \t\n\r", at);
    if (at == text.npos) break;
  }
  return "{\"bytes\":" + std::to_string(text.size()) + ",\"words\":" + std::to_string(words) + "}";
}

static uint32_t count(void *, const millrace_call *call, millrace_outcome *outcome) noexcept {
  outcome->status = MILLRACE_RETRY;
  try {
    const std::string text = counted(call);
    if (void *bytes = call->host->claim(call->attempt, text.size(), MILLRACE_JSON, &outcome->output)) {
      std::memcpy(bytes, text.data(), text.size());
      outcome->status = MILLRACE_DONE;
    } else {
      std::strncpy(outcome->error_type, "no-memory", sizeof outcome->error_type - 1);
    }
  } catch (const std::exception &) {
    std::strncpy(outcome->error_type, "exception", sizeof outcome->error_type - 1);
  }
  return outcome->status;
}

static const char output[] = R"({"type":"object","properties":{"bytes":{"type":"integer","minimum":0},"words":{"type":"integer","minimum":0}},)"
                             R"("required":["bytes","words"],"additionalProperties":false})";
static const millrace_handler count_handler = {
    sizeof(millrace_handler), 0, "count", "Counts the bytes and words of input 0", nullptr, output, nullptr, 0, 0, count};
static const millrace_handler *const handlers[] = {&count_handler};
static const millrace_plugin plugin = {sizeof(millrace_plugin), MILLRACE_ABI_VERSION, "@NAME@", "0.1.0", "Counts words", nullptr, nullptr, nullptr,
                                       nullptr, handlers, sizeof handlers / sizeof *handlers, 0};

MILLRACE_MANIFEST();
extern "C" MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version) {
  return host_abi_version == MILLRACE_ABI_VERSION ? &plugin : nullptr;
}
