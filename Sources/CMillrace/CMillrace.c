#include "millrace/plugin.h"
