/* A loop is taken only with the library's own libuv: another uv_version, a header of another major version, and none at all are refused, in words. */
#include <millrace/millrace.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

static unsigned int another(void) { return uv_version(); }

static int refused(millrace_configuration configuration, int32_t code, const char *word) {
  millrace_error error = {.size = sizeof error};
  millrace_engine engine;
  int32_t got = millrace_engine_create(&configuration, &engine, &error);
  if (got == code && strstr(error.message, word) != NULL) return 0;
  fprintf(stderr, "%s instead of %s: %s\n", millrace_code_name(got), millrace_code_name(code), error.message);
  return 1;
}

int main(void) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  millrace_configuration good = {.size = sizeof good, .loop = &loop, .uv_version = uv_version, .uv_header = UV_VERSION_HEX};
  millrace_configuration other = good, header = good, none = good;
  other.uv_version = another;
  header.uv_header = 2u << 16;
  none.uv_version = NULL;
  int wrong = refused(other, MILLRACE_BAD_VERSION, "link both with the same") + refused(header, MILLRACE_BAD_VERSION, "libuv 2.0.0") +
              refused(none, MILLRACE_BAD_ARGUMENT, "uv_version");
  millrace_engine engine;
  wrong += millrace_engine_create(&good, &engine, NULL) != MILLRACE_OK;
  wrong += millrace_engine_destroy(engine, NULL) != MILLRACE_OK;
  uv_run(&loop, UV_RUN_DEFAULT);
  return wrong + (uv_loop_close(&loop) != 0);
}
