/*
 * What the plugin says of itself, for the host: numbers and texts, one behind the other. A number is four bytes; a text is its length and one more, its bytes, and
 * a NUL; NULL has length 0. The host checks everything with the eyes it has for plugins of its own process; here only what keeps this process from reading
 * what is not there.
 */
#include "child.h"

#include <stdio.h>
#include <string.h>

static struct {
  char *at, *end;
  int is_full;
} out;

static void number(uint32_t value) {
  if (out.end - out.at < 4) {
    out.is_full = 1;
    return;
  }
  memcpy(out.at, &value, 4);
  out.at += 4;
}

static void text(const char *text) {
  /* One byte more than any text may have: the host refuses it then, as it would in its own process. */
  const size_t bytes = text ? strnlen(text, MILLRACE_SCHEMA_BYTES + 1) : 0;
  number(text ? (uint32_t)bytes + 1 : 0);
  if (!text) return;
  if ((size_t)(out.end - out.at) < bytes + 1) {
    out.is_full = 1;
    return;
  }
  memcpy(out.at, text, bytes);
  out.at[bytes] = 0;
  out.at += bytes + 1;
}

static int malformed(const char *field, const char *reason) {
  char words[256];
  (void)snprintf(words, sizeof words, "%s\t%s", field, reason);
  say_state(MILLRACE_CHILD_MALFORMED, words);
  return -1;
}

int describe(const millrace_plugin *plugin) {
  char *start = (char *)self.arena + self.layout.description;
  out.at = start;
  out.end = start + MILLRACE_ISOLATION_DESCRIPTION_BYTES;
  if (!plugin->handlers) return malformed("handlers", "is NULL");
  number(plugin->size), number(plugin->abi_version), number(plugin->flags);
  text(plugin->name), text(plugin->version), text(plugin->summary), text(plugin->configuration_schema);
  number(plugin->handler_count);
  if (plugin->handler_count > 1024) return malformed("handler_count", "is above 1024");
  for (uint32_t i = 0; i < plugin->handler_count; i++) {
    const millrace_handler *handler = plugin->handlers[i];
    char field[48];
    (void)snprintf(field, sizeof field, "handlers[%u]", i);
    if (!handler) return malformed(field, "is NULL");
    number(handler->size);
    if (handler->size < sizeof *handler) {
      (void)snprintf(field, sizeof field, "handlers[%u].size", i);
      return malformed(field, "is less than version 1 has");
    }
    number(handler->flags), number(handler->concurrency), number(handler->run != NULL);
    text(handler->name), text(handler->summary), text(handler->input_schema), text(handler->output_schema);
  }
  if (out.is_full) return malformed("handlers", "and their schemas are more than 8 MiB together, the most of an isolated plugin");
  self.arena->description_bytes = (uint32_t)(out.at - start);
  return 0;
}
