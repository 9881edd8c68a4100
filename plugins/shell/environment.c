/* Environments: the one kept at load, and the ones made for programs. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shell.h"

static char **kept;

void shell_strings_free(char **strings) {
  for (char **s = strings; s && *s; s++) free(*s);
  free(strings);
}

int32_t shell_environment_keep(void) {
  size_t count = 0;
  while (environ && environ[count]) count++;
  kept = calloc(count + 1, sizeof(char *));
  for (size_t i = 0; kept && i < count; i++) {
    kept[i] = strdup(environ[i]);
    if (kept[i] == NULL) shell_environment_drop();
  }
  return kept ? 0 : -1;
}

void shell_environment_drop(void) {
  shell_strings_free(kept);
  kept = NULL;
}

int shell_same_name(const char *left, const char *right) {
  const size_t name = strcspn(left, "=");
  return strcspn(right, "=") == name && memcmp(left, right, name) == 0;
}

char **shell_environment_with(int inherit, char **variables, size_t count) {
  size_t inherited = 0, length = 0;
  while (inherit && kept[inherited]) inherited++;
  char **made = calloc(inherited + count + 1, sizeof(char *));
  if (made == NULL) return NULL;
  for (size_t i = 0; i < inherited; i++) {
    int replaced = 0;
    for (size_t k = 0; k < count && !replaced; k++) replaced = shell_same_name(kept[i], variables[k]);
    if (replaced) continue;
    made[length] = strdup(kept[i]);
    if (made[length] == NULL) {
      shell_strings_free(made);
      return NULL;
    }
    length++;
  }
  for (size_t k = 0; k < count; k++) {
    made[length++] = variables[k];
    variables[k] = NULL;
  }
  return made;
}

const char *shell_environment_find(char *const *environment, const char *name) {
  const size_t length = strlen(name);
  for (; *environment; environment++)
    if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') return *environment + length + 1;
  return NULL;
}
