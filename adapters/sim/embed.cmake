# embed.cmake -- turns files into C arrays, so that the program needs no folder beside it.
#
#   cmake -DFOLDER=page -DFILES=index.html,style.css,app.js -DOUTPUT=page_files.c -P embed.cmake
#
# index.html is served as "/", every other file under its name.
string(REPLACE "," ";" FILES "${FILES}")
set(arrays "")
set(rows "")
set(n 0)
foreach(file IN LISTS FILES)
    file(READ "${FOLDER}/${file}" hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    if(file MATCHES "\\.html$")
        set(type "text/html; charset=utf-8")
    elseif(file MATCHES "\\.css$")
        set(type "text/css; charset=utf-8")
    elseif(file MATCHES "\\.js$")
        set(type "text/javascript; charset=utf-8")
    elseif(file MATCHES "\\.svg$")
        set(type "image/svg+xml")
    else()
        message(FATAL_ERROR "embed.cmake: the type of ${file} is not known; add it to the list")
    endif()
    if(file STREQUAL "index.html")
        set(path "/")
    else()
        set(path "/${file}")
    endif()
    string(APPEND arrays "static const unsigned char file_${n}[] = {${bytes}};\n")
    string(APPEND rows "    {\"${path}\", \"${type}\", file_${n}, sizeof file_${n}},\n")
    math(EXPR n "${n} + 1")
endforeach()
file(WRITE "${OUTPUT}" "/* Made by embed.cmake from ${FILES}. */\n#include \"adapters/sim/page_files.h\"\n\n${arrays}
const struct wm_sim_page_file wm_sim_page_files[] = {\n${rows}};\nconst int wm_sim_n_page_files = ${n};\n")
