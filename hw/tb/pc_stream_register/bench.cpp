#include "Vpc_stream_register.h"
#include "stream_bench.hpp"

int main(int argc, char** argv) {
    return stream_bench<Vpc_stream_register>(argc, argv, 0xFF);
}
