#include <millrace/plugin.h>
