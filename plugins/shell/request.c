/* Input 0 of `shell/run`, read into what to run. */
#include <stdlib.h>
#include <string.h>

#include "../support/outcome.h"
#include "shell.h"

static const char *const members[] = {"program",   "arguments", "command",     "environment", "inheritEnvironment",
                                      "directory", "stdin",     "outputLimit", "result",      NULL};

void shell_request_free(shell_request *request) {
  free(request->program);
  shell_strings_free(request->arguments);
  shell_strings_free(request->environment);
  free(request->directory);
  free(request->input);
}

static uint32_t bad(millrace_outcome *outcome, const char *what) {
  return outcome_end(outcome, MILLRACE_FAILED, "bad-input", "the input of shell/run: %s", what);
}

/* The program and its arguments: `program` with `arguments`, or `command` for the shell. */
static uint32_t read_program(const json_document *d, millrace_outcome *outcome, shell_request *r) {
  const uint32_t program = json_find(d, 0, "program"), command = json_find(d, 0, "command"), arguments = json_find(d, 0, "arguments");
  if ((program != 0) == (command != 0)) return bad(outcome, "give either `program` (with `arguments`) or `command` (text for /bin/sh -c)");
  if (command && arguments) return bad(outcome, "`arguments` belong to `program`; a `command` has its own inside its text");
  if (arguments && d->nodes[arguments].type != JSON_ARRAY) return bad(outcome, "`arguments` must be an array of strings");
  const uint32_t count = arguments ? json_count(d, arguments) : 0;
  if (count > SHELL_MOST_ARGUMENTS) return bad(outcome, "more than 4,096 `arguments`; pass them in a file or by `stdin`");
  r->program = command ? strdup("/bin/sh") : json_text(d, program);
  if (r->program == NULL || r->program[0] == 0) return bad(outcome, "`program` must be a string that is not empty, without NUL");
  r->arguments = calloc((size_t)count + 4, sizeof(char *));
  if (r->arguments == NULL) return outcome_no_memory(outcome);
  size_t length = 0;
  if ((r->arguments[length++] = strdup(r->program)) == NULL) return outcome_no_memory(outcome);
  if (command) {
    if ((r->arguments[length++] = strdup("-c")) == NULL) return outcome_no_memory(outcome);
    if ((r->arguments[length] = json_text(d, command)) == NULL) return bad(outcome, "`command` must be a string without NUL");
    return MILLRACE_DONE;
  }
  for (uint32_t i = arguments ? json_first(d, arguments) : 0; i; i = json_next(d, arguments, i))
    if ((r->arguments[length++] = json_text(d, i)) == NULL) return bad(outcome, "`arguments` must be an array of strings without NUL");
  return MILLRACE_DONE;
}

static char *join(const char *name, const char *value) {
  const size_t name_length = strlen(name), value_length = strlen(value);
  char *made = malloc(name_length + value_length + 2);
  if (made) {
    memcpy(made, name, name_length);
    made[name_length] = '=';
    memcpy(made + name_length + 1, value, value_length + 1);
  }
  return made;
}

/* NAME=value of one member of `environment`, or NULL. */
static char *read_variable(const json_document *d, uint32_t name_node, uint32_t value_node) {
  char *name = json_text(d, name_node), *value = json_text(d, value_node), *made = NULL;
  if (name && value && name[0] && strchr(name, '=') == NULL) made = join(name, value);
  free(name);
  free(value);
  return made;
}

/* The variables of the task's `env` behind the `made` ones, of which those with the same name go. 0, or -1: no memory. */
static int32_t add_task_variables(const millrace_call *call, const millrace_environment *env, char **variables, uint32_t *made) {
  const uint32_t count = env ? env->count(call->attempt) : 0;
  for (uint32_t i = 0; i < count; i++) {
    const char *name = NULL, *value = NULL;
    if (env->at(call->attempt, i, &name, &value) != 0) continue;
    char *variable = join(name, value);
    if (variable == NULL) return -1;
    uint32_t k = 0;
    while (k < *made && !shell_same_name(variables[k], variable)) k++;
    if (k == *made) (*made)++;
    else free(variables[k]);
    variables[k] = variable;
  }
  return 0;
}

static uint32_t read_environment(const millrace_call *call, const json_document *d, millrace_outcome *outcome, shell_request *r) {
  const uint32_t node = json_find(d, 0, "environment"), inherit = json_find(d, 0, "inheritEnvironment");
  if (inherit && d->nodes[inherit].type != JSON_TRUE && d->nodes[inherit].type != JSON_FALSE)
    return bad(outcome, "`inheritEnvironment` must be true or false");
  if (node && d->nodes[node].type != JSON_OBJECT) return bad(outcome, "`environment` must be an object of strings");
  const uint32_t count = node ? json_count(d, node) / 2 : 0;
  if (count > SHELL_MOST_ARGUMENTS) return bad(outcome, "more than 4,096 variables in `environment`");
  const millrace_environment *env = shell_task_environment(call);
  char **variables = calloc((size_t)count + (env ? env->count(call->attempt) : 0) + 1, sizeof(char *));
  if (variables == NULL) return outcome_no_memory(outcome);
  uint32_t made = 0, status = MILLRACE_DONE;
  for (uint32_t i = node ? json_first(d, node) : 0; i && status == MILLRACE_DONE;) {
    const uint32_t value = d->nodes[i].next;
    variables[made] = read_variable(d, i, value);
    if (variables[made] == NULL) status = bad(outcome, "`environment` must map names, without `=` and not empty, to strings without NUL");
    else made++;
    i = json_next(d, node, value);
  }
  if (status == MILLRACE_DONE && add_task_variables(call, env, variables, &made) != 0) status = outcome_no_memory(outcome);
  if (status == MILLRACE_DONE) {
    r->environment = shell_environment_with(!inherit || d->nodes[inherit].type == JSON_TRUE, variables, made);
    if (r->environment == NULL) status = outcome_no_memory(outcome);
  }
  shell_strings_free(variables);
  return status;
}

static uint32_t read_rest(const json_document *d, millrace_outcome *outcome, shell_request *r) {
  const uint32_t directory = json_find(d, 0, "directory"), input = json_find(d, 0, "stdin"), limit = json_find(d, 0, "outputLimit"),
                 result = json_find(d, 0, "result");
  int64_t bytes = SHELL_OUTPUT_BYTES;
  if (directory && ((r->directory = json_text(d, directory)) == NULL || r->directory[0] == 0))
    return bad(outcome, "`directory` must be a path that is not empty, without NUL");
  if (input && (r->input = json_string(d, input, &r->input_length)) == NULL) return bad(outcome, "`stdin` must be a string");
  if (limit && (json_integer(d, limit, &bytes) || bytes < 0 || bytes > SHELL_MOST_OUTPUT_BYTES))
    return bad(outcome, "`outputLimit` must be a number of bytes from 0 to 16777216");
  if (result && d->nodes[result].type != JSON_TRUE && d->nodes[result].type != JSON_FALSE)
    return bad(outcome, "`result` must be true or false");
  r->output_limit = (size_t)bytes;
  r->with_result = result && d->nodes[result].type == JSON_TRUE;
  return MILLRACE_DONE;
}

uint32_t shell_request_read(const millrace_call *call, millrace_outcome *outcome, shell_request *request) {
  json_document d;
  uint32_t status = outcome_read_object(call, outcome, 0, members, &d);
  if (status != MILLRACE_DONE) return status;
  status = read_program(&d, outcome, request);
  if (status == MILLRACE_DONE) status = read_environment(call, &d, outcome, request);
  if (status == MILLRACE_DONE) status = read_rest(&d, outcome, request);
  json_free(&d);
  return status;
}
