// What a form costs: grammars compiled, their masks found and looked up.
#pragma once

namespace bench {

void grammars();

} // namespace bench
