#!/bin/bash
#$ -N b-7f3a
#$ -t 1-3
#$ -r n
#$ -w e
#$ -notify
#$ -S /bin/bash
#$ -wd "/home/a \"b\""
#$ -o "/home/a \"b\"/log"
#$ -j y
#$ -l h_rt=2
#$ -l h_vmem=2M
exit 0
