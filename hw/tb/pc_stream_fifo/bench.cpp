#include "Vpc_stream_fifo.h"
#include "stream_bench.hpp"

int main(int argc, char** argv) {
    return stream_bench<Vpc_stream_fifo>(argc, argv, 0xFF);
}
