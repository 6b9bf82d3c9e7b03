// Whom /dev/kvm opens for.
#pragma once

#include <string>

// After an open that failed with EACCES; one clause for people.
std::string kvm_denied();
