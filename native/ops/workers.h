// The threads that the fused operators' work is shared out to. OpenMP's spin for milliseconds where they wait, which beside another busy
// process costs a run many times its own time; without any spinning, the paper's super-net loses a fifth alone. These spin for as long as
// the usual gap between two operators, and not at all for a while after something else wanted their processor.
#pragma once

namespace ista {

// work(context, part) for every part of [0, parts): part 0 in the calling thread, each other one in a thread of its own that waits
// for the next call. Comes back when all are done; throws what one of them threw. Work must not call it.
void run_parts(int parts, void (*work)(const void* context, int part), const void* context);

}  // namespace ista
