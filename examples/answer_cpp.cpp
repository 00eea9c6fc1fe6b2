// The same as answer.c, from C++: the headers are used as they are.
#include <covey/backend.h>
#include <iostream>
#include <memory>

template <auto Close> struct closer {
    template <class T> void operator()(T *object) const { Close(object); }
};

int main(int argc, char **argv) {
    covey_error error{};
    auto fail = [&error] {
        std::cerr << "answer: " << error.message << '\n';
        return 1;
    };
    covey_runtime *opened = nullptr;
    if (covey_runtime_open(nullptr, &opened, &error)) return fail();
    std::unique_ptr<covey_runtime, closer<covey_runtime_close>> runtime(opened);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = argc > 1 ? argv[1] : "model.gguf";
    covey_model *model = nullptr;
    if (covey_model_open(runtime.get(), &source, &model, &error)) return fail();
    covey_backend *local = nullptr;
    if (covey_backend_local(runtime.get(), model, 1, &local, &error)) {
        covey_model_close(model);
        return fail();
    }
    std::unique_ptr<covey_backend, closer<covey_backend_release>> backend(local);
    covey_conversation *talk = nullptr;
    if (covey_conversation_open(local, 0, &talk, &error)) return fail();
    std::unique_ptr<covey_conversation, closer<covey_conversation_close>> conversation(talk);
    covey_message message{"user", argc > 2 ? argv[2] : "Hello"};
    covey_request request = COVEY_REQUEST_INIT;
    request.messages = &message;
    request.message_count = 1;
    auto show = [](void *, const char *text, size_t size) {
        std::cout.write(text, static_cast<std::streamsize>(size));
        return true;
    };
    if (covey_conversation_generate(talk, &request, nullptr, &error, show, nullptr)) return fail();
    std::cout << '\n';
}
