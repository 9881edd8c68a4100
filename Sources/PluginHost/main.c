/*
 * millrace-plugin-host: one plugin in a process of its own. Started by Millrace, not by people: it finds what it needs in descriptors 3 to 6.
 */
#include "child.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

child self = {.says = PTHREAD_MUTEX_INITIALIZER};

static void pause_here(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

/* The next entry of the ring of requests, which may be slept for. */
static uint32_t next_request(uint32_t head) {
  const uint64_t *entry = (const uint64_t *)((const char *)self.page + self.layout.request_ring) + (head & (self.layout.request_capacity - 1));
  for (uint32_t looks = 0;; looks++) {
    /* Pairs with the host's store: the request is written before its entry. */
    const uint64_t word = millrace_shared_load_long(entry);
    if (word >> 32 == head + 1) return (uint32_t)word;
    if (self.page->spins == UINT32_MAX || looks < self.page->spins) {
      pause_here();
      continue;
    }
    millrace_shared_store(&self.arena->sleeps, 1);
    /* Pairs with the host's fence between its entry and `sleeps`. */
    millrace_shared_fence();
    /* The tail moves before the entry is written: whoever sees it as it was has missed nothing. */
    if (millrace_shared_load(&self.page->tail) == head) (void)millrace_shared_wait(&self.page->tail, head);
    millrace_shared_store(&self.arena->sleeps, 0);
    looks = 0;
  }
}

static void serve(void) {
  for (uint32_t head = 0;; head++) {
    const uint32_t slot = next_request(head) & 0xffff;
    if (slot == MILLRACE_ISOLATION_STOP) return;
    const millrace_handler *handler = self.plugin->handlers[self.attempts[slot].request->handler];
    if (!(handler->flags & MILLRACE_BLOCKING) || !helpers_run(slot)) calls_run(slot);
  }
}

static int fail(const char *what) {
  (void)fprintf(stderr, "millrace-plugin-host: %s: it is started by millrace, with what it needs in descriptors 3 to 6\n", what);
  return 70;
}

/* Maps what is shared. 0, or an exit code. */
static int map_shared(void) {
  struct stat status;
  if (fstat(MILLRACE_ISOLATION_PAGE, &status) != 0 || (size_t)status.st_size < sizeof *self.page) return fail("descriptor 3 is no page");
  self.page = millrace_shared_map(MILLRACE_ISOLATION_PAGE, (uint64_t)status.st_size, 0);
  if (!self.page || self.page->version != MILLRACE_ISOLATION_VERSION) return fail("the page is of another version");
  self.layout = millrace_isolation_lay(self.page->slots, self.page->region_bytes);
  if ((uint64_t)status.st_size != self.layout.page_bytes) return fail("the page has another length");
  if (fstat(MILLRACE_ISOLATION_ARENA, &status) != 0 || (uint64_t)status.st_size != self.layout.arena_bytes) return fail("descriptor 4 is no arena");
  self.arena = millrace_shared_map(MILLRACE_ISOLATION_ARENA, self.layout.arena_bytes, 1);
  self.attempts = calloc(self.page->slots, sizeof *self.attempts);
  if (!self.arena || !self.attempts) return fail("no memory");
  for (uint32_t slot = 0; slot < self.page->slots; slot++) {
    self.attempts[slot].slot = slot;
    self.attempts[slot].request = (const millrace_isolated_request *)((const char *)self.page + self.layout.requests) + slot;
    pthread_mutex_init(&self.attempts[slot].claiming, NULL);
  }
  return 0;
}

/* The plugin's description, or NULL when it has been said what is wrong. */
static const millrace_plugin *load(void) {
  char path[32], words[128];
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", MILLRACE_ISOLATION_PLUGIN);
  void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!object) {
    say_state(MILLRACE_CHILD_LINKER, dlerror());
    return NULL;
  }
  const millrace_plugin_entry_function entry = (millrace_plugin_entry_function)dlsym(object, MILLRACE_ENTRY_NAME);
  if (!entry) {
    say_state(MILLRACE_CHILD_NO_ENTRY, "");
    return NULL;
  }
  const millrace_plugin *plugin = NULL;
  if (self.page->untrusted && sandbox_after_loading() != 0) return NULL;
  plugin = entry(MILLRACE_ABI_VERSION);
  if (!plugin) {
    say_state(MILLRACE_CHILD_ABI, "");
    return NULL;
  }
  if (plugin->size < 8) {
    (void)snprintf(words, sizeof words, "size\tis %u", plugin->size);
    say_state(MILLRACE_CHILD_MALFORMED, words);
    return NULL;
  }
  if (plugin->abi_version != MILLRACE_ABI_VERSION) {
    (void)snprintf(words, sizeof words, "%u", plugin->abi_version);
    say_state(MILLRACE_CHILD_ABI, words);
    return NULL;
  }
  if (plugin->size < sizeof *plugin) {
    (void)snprintf(words, sizeof words, "size\tis %u, expected %zu or more", plugin->size, sizeof *plugin);
    say_state(MILLRACE_CHILD_MALFORMED, words);
    return NULL;
  }
  return plugin;
}

int main(void) {
  const int failed = map_shared();
  if (failed) return failed;
  /* Ends with the thread that started it. Which may have ended before: then somebody else is the parent. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || (uint32_t)getppid() != self.page->parent) return fail("its parent has gone");
  calls_fill(&self.host);
  if (sandbox_limit() != 0 || (self.page->untrusted && sandbox_before_loading() != 0)) return 70;
  if (!self.page->untrusted && helpers_start(self.page->helpers) != 0) {
    say_state(MILLRACE_CHILD_SANDBOX, "no thread is to be had");
    return 70;
  }
  self.plugin = load();
  if (!self.plugin) return 70;
  char message[MILLRACE_MESSAGE_BYTES] = "";
  if (self.plugin->init && self.plugin->init(&self.host, message, sizeof message) != 0) {
    message[sizeof message - 1] = 0;
    say_state(MILLRACE_CHILD_REFUSED, message);
    return 70;
  }
  if (describe(self.plugin) != 0) return 70;
  say_state(MILLRACE_CHILD_READY, NULL);
  serve();
  helpers_finish();
  if (self.plugin->deinit) self.plugin->deinit();
  _exit(0);
}
